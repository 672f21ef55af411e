"""Child processes that never outlive the one that started them."""

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


def dying_with(parent: int, by: signal.Signals) -> Callable[[], None]:
    """Return what a child runs before its program, so that the kernel ends it when its parent is gone."""

    def arm() -> None:
        if _libc is None:
            return
        _libc.prctl(PR_SET_PDEATHSIG, int(by))
        # The parent may have died before the line above.
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
    """Start a child in a process group of its own; to be called from the main thread.

    The kernel watches the thread that forks, not the process: a child of another thread dies with that thread. The
    group keeps the terminal's Ctrl-C away from the child, and lets the whole of it be ended at once.
    """
    return subprocess.Popen(
        [str(word) for word in command],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=dying_with(os.getpid(), death_signal),
        **popen,
    )
