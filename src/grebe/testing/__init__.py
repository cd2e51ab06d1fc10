"""For tests of Grebe and of programs that use it."""
