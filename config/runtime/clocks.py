"""The monotonic clocks of this machine, and an identifier by which processes compare them."""

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def machine_clock() -> str | None:
    """Identify the clocks below: processes with the same identifier read the same clocks. None if unknown."""
    try:
        boot = BOOT_ID.read_text().strip()
    except OSError:
        return None
    return f"{boot} {_namespace('time')}".strip()


@cache
def pid_space() -> str | None:
    """Identify the pid namespace of this process: pids of other namespaces may be the same."""
    clock, namespace = machine_clock(), _namespace("pid")
    return f"{clock} {namespace}" if clock and namespace else None


def _namespace(kind: str) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/self/ns/{kind}")
    return ""


def awake_seconds() -> float:
    """Return the seconds since the machine started, without those during which it was suspended."""
    return time.monotonic()


def elapsed_seconds() -> float:
    """Return the seconds since the machine started, suspended or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
