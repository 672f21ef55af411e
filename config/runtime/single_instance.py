"""Only one `up` a data folder; the next one ends whatever the last one left behind."""

import fcntl
import os
import secrets
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from config.exceptions import CannotStart

# Every process that an `up` starts carries the mark of that `up`, and so do their own children, whatever becomes of
# their parents and groups. A pid can be reused, a mark cannot.
MARK = "THREADKEEPER_RUN"
SECONDS_TO_END = 5.0


class SingleInstance:
    """The claim on a data folder, held as long as the process lives."""

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / "up.lock"
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CannotStart(f"The data folder {data_dir} cannot be written: {error.strerror}.") from error
        left = os.pread(self._file, 200, 0).decode(errors="replace").split()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = f" (process {left[0]})" if left else ""
            raise CannotStart(f"Threadkeeper is already running in {data_dir}{holder}.") from None
        if len(left) == 2:
            end_all_with(left[1])
        self.mark = secrets.token_hex(16)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()} {self.mark}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one in; nothing of this one is left."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def end_all_with(mark: str) -> None:
    """End every process with a mark: asked first, then by force."""
    left = [process for process in psutil.process_iter() if _has(process, mark)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, left = psutil.wait_procs(left, timeout=SECONDS_TO_END)


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False
