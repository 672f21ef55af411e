"""Only one `up` per data folder; the next one ends all processes that the last one left."""

import fcntl
import os
import secrets
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from config.exceptions import CannotStart

# Every process of an `up` has a marker in its environment, and so do its own children, even without their parent and
# group. A pid can be reused, a marker cannot.
MARK = "THREADKEEPER_RUN"
END_TIMEOUT = 5.0


class SingleInstance:
    """The lock of a data folder, held until the process ends."""

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
            end_processes(left[1])
        self.mark = secrets.token_hex(16)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()} {self.mark}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock; no process of this instance is left."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def end_processes(mark: str) -> None:
    """End every process with a marker: with SIGTERM, then with SIGKILL."""
    left = [process for process in psutil.process_iter() if _has_mark(process, mark)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, left = psutil.wait_procs(left, timeout=END_TIMEOUT)


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False
