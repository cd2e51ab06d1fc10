"""What a user holds: references, snapshots, queries, transactions. All state is in the engine."""
