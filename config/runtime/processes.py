"""Child processes that never outlive the process that started them."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def exit_with_parent(parent: int, by: signal.Signals) -> Callable[[], None]:
    """Return a function for the child to run before its program, so that the kernel kills it when its parent exits."""

    def arm() -> None:
        if _libc is None:
            return
        _libc.prctl(PR_SET_PDEATHSIG, int(by))
        # The parent may have exited before the line above.
        if os.getppid() != parent:
            os.kill(os.getpid(), by)

    return arm


def spawn(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    output: IO[Any] | int | None = None,
    **popen: Any,
) -> "subprocess.Popen[bytes]":
    """Start a child in its own process group; must be called from the main thread.

    The kernel watches the thread that forks, not the process: a child of another thread is killed when that thread
    ends. The group shields the child from the terminal's Ctrl-C, and allows all of its processes to be killed at once.
    """
    return subprocess.Popen(
        [str(word) for word in command],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=exit_with_parent(os.getpid(), death_signal),
        **popen,
    )
