"""What keeps the program from starting."""


class CannotStart(SystemExit):
    """The process cannot start; the text gives the reason in one sentence, and the exit code is 1."""
