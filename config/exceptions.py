"""Why the program cannot start."""


class CannotStart(SystemExit):
    """The process cannot start; the text is the reason in one sentence, and the exit code is 1."""
