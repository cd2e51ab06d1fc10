"""The command `grebe`: one module a subcommand."""


def main() -> int:
    """Run the command line."""
    return 0
