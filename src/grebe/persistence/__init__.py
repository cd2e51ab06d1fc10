"""What must last, and when it does: the persistor contract, the committer, the resolver."""
