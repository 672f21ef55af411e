"""A request to stop that a signal makes."""

import os
import select
from contextlib import suppress


class StopRequest:
    """A flag that a signal handler may set at any moment, and that the main thread waits for.

    A handler runs in the main thread, between any two of its instructions. The lock of a `threading.Event` may be held
    by the very code that it interrupts: neither would ever continue.
    """

    def __init__(self) -> None:
        self.is_made = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def make(self) -> None:
        """Make the request; again has no effect."""
        self.is_made = True
        with suppress(BlockingIOError):  # full: the main thread has enough to read
            os.write(self._write, b".")

    def wait(self, seconds: float) -> bool:
        """Wait for the request; return whether it is made."""
        select.select([self._read], [], [], seconds)
        return self.is_made
