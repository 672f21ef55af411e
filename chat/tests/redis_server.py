"""A Redis server of one test, which stores nothing on disk and may be killed."""

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from config.runtime.processes import spawn
from config.tests.support import SECONDS, eventually, free_port


class RedisServer:
    """A real `redis-server` on a free port."""

    def __init__(self, folder: Path, *options: str) -> None:
        if not (executable := shutil.which("redis-server")):
            if os.environ.get("THREADKEEPER_REQUIRE_SERVICES"):
                pytest.fail("redis-server is not installed")
            pytest.skip("redis-server is not installed")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        address_options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self._command = [executable, *address_options, *options]
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill9()

    def start(self) -> None:
        """Start the server, without data."""
        self._process = spawn(self._command, output=subprocess.DEVNULL)
        eventually(self._answers, what="Redis to answer")

    def kill9(self) -> None:
        """Kill the server."""
        self._process.kill()
        self._process.wait(SECONDS)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False
