"""Time from a bare clone to the first page.

    uv run python -m benchmarks.cold_start

Clones the repository into an empty folder, and runs the README's command with an empty package cache.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from config.tests.support import free_port

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 600.0  # seconds


def main() -> None:
    """Measure once, and print the times."""
    folder = Path(tempfile.mkdtemp(prefix="threadkeeper-cold-"))
    clone, port = folder / "clone", free_port()
    environment = {**os.environ, "UV_CACHE_DIR": str(folder / "cache")}
    environment.pop("VIRTUAL_ENV", None)
    try:
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        started = time.perf_counter()
        subprocess.run(["uv", "sync", "--quiet"], cwd=clone, env=environment, check=True)
        installed = time.perf_counter()
        up = subprocess.Popen(["uv", "run", "manage.py", "up", "--port", str(port)], cwd=clone, env=environment)
        try:
            _wait_for(f"http://127.0.0.1:{port}/accounts/login/")
            ready = time.perf_counter()
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    installation = installed - started
    print(f"{ready - started:.0f} s from a bare clone to the first page, of which {installation:.0f} s installation")


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


if __name__ == "__main__":
    main()
