"""A signal that asks a command to finish early, instead of killing it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Shows whether a signal has arrived."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None

    def is_there(self) -> bool:
        return self.by is not None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal ended."""
        return 128 + self.by if self.by else 0

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        self.by = signal.Signals(number)
        # The second signal ends the command at once.
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Listen for Ctrl-C and SIGTERM for a while; only the main thread can."""
    told = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = {number: signal.signal(number, told._arrive) for number in SIGNALS}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
