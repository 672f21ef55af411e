"""What keeps the program from starting."""


class CannotStart(SystemExit):
    """A start that cannot go on; the text says why in one sentence, and the exit code is 1."""
