"""A disk of two megabytes, to be filled."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of two megabytes at a folder. Skip the test where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "threadkeeper-test", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"No file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        # Lazily, because a server may have files open in it.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write to a file until its disk is full."""
    with open(file, "wb", buffering=0) as writing:
        for size in (65536, 512):
            try:
                while True:
                    writing.write(bytes(size))
            except OSError:
                continue
