"""The product under attack: a real `manage.py up`, its output, and measurements from outside."""

import contextlib
import os
import re
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from config.runtime.embedded_postgres import url_of as embedded_url
from config.tests.support import ROOT, SECONDS, LiveDatabase, Up, eventually, processes_of

# Another checkout to attack, to see an attack succeed on an older release: ATTACKED_CHECKOUT=../threadkeeper-0.5.0.
CHECKOUT = Path(os.environ.get("ATTACKED_CHECKOUT") or ROOT)
PYTHON = sys.executable if CHECKOUT == ROOT else str(CHECKOUT / ".venv/bin/python")
# The host name of the product, and the origin of the proxy in front of it.
HOST = "chat.example.test"
ORIGIN = f"https://{HOST}"
MEGABYTE = 1024 * 1024


class Product(Up):
    """A running product with a data folder of its own, its embedded PostgreSQL and its worker."""

    python = PYTHON
    root = CHECKOUT

    def __init__(self, data_dir: Path, *options: str, **variables: str) -> None:
        super().__init__(data_dir, *options, **variables)
        self.database = LiveDatabase(embedded_url(data_dir / "postgres"))
        # The origin that clients use.
        self.origin = variables.get("PUBLIC_URL", self.url)

    def await_ready(self) -> "Product":
        """Return once everything works; a busy machine takes long to prepare an empty folder."""
        eventually(self.is_ready, within=240, what=f"/readyz of\n{self.output}")
        return self

    # Processes.

    @property
    def server(self) -> psutil.Process:
        """The server process."""
        return self.child("config.runtime.asgi_server")

    @property
    def postgres(self) -> list[psutil.Process]:
        """The processes of the embedded PostgreSQL."""
        postmaster = self.child("-D")
        return [postmaster, *postmaster.children(recursive=True)]

    @contextlib.contextmanager
    def suspended_postgres(self) -> Iterator[None]:
        """Suspend every process of PostgreSQL."""
        suspended = self.postgres
        for process in suspended:
            process.suspend()
        try:
            yield
        finally:
            for process in suspended:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    # Health.

    def healthz_seconds(self) -> float:
        """Return how long /healthz takes to respond, which includes the time for which the event loop is blocked."""
        started = time.monotonic()
        response = fetch(f"{self.url}/healthz", timeout=SECONDS)
        assert response.status_code == 200, response.text
        return time.monotonic() - started

    def responds(self, path: str = "/accounts/login/", *, timeout: float = 5) -> bool:
        """Return whether a page responds with 200 within a timeout."""
        with contextlib.suppress(httpx.TransportError):
            return fetch(f"{self.url}{path}", timeout=timeout).status_code == 200
        return False

    def works(self) -> bool:
        """Return whether it responds, even to more requests at once than there are database connections."""
        return self.responds() and self.responds("/readyz") and all(at_once(24, lambda _: self.responds("/readyz")))

    def await_works(self, within: float) -> float:
        """Wait until everything works, and return the seconds that it took."""
        started = time.monotonic()
        eventually(self.works, within=within, what=f"/readyz and pages of\n{self.output[-3000:]}")
        return time.monotonic() - started

    def stop_all(self) -> None:
        """Stop all processes, by force if necessary."""
        with contextlib.suppress(Exception):
            self.stop(signal.SIGTERM)
        for process in processes_of(self.data_dir):
            process.kill()


def fetch(url: str, *, timeout: float) -> httpx.Response:
    """Send a GET request on a new connection, without loading certificates, which is slow."""
    return httpx.get(url, timeout=timeout, verify=False)  # noqa: S501 - it is http


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Call a function with 0, 1, … in threads at the same moment; return the results, or raise the first error."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            results[number] = act(number)
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@dataclass
class Watch:
    """Measures a value repeatedly in a thread while an attack runs."""

    measure: Callable[[], float]
    every: float = 0.02
    values: list[float] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self.before = statistics.median(self.measure() for _ in range(3))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            # A measured process may exit.
            with contextlib.suppress(psutil.Error, OSError, httpx.TransportError):
                self.values.append(self.measure())
            self._stopped.wait(self.every)

    @property
    def most(self) -> float:
        """The largest value."""
        return max(self.values, default=self.before)

    @property
    def growth(self) -> float:
        """The difference between the largest value and the value before the attack."""
        return self.most - self.before

    def check_latency(self, *, most: float = 3) -> None:
        """Check that a duration grew by fewer seconds than this during the attack, allowing for a busy machine."""
        assert self.most < most + 10 * self.before, f"{self.most:.2f} s at most, {self.before:.3f} s before"


def private_memory(processes: list[psutil.Process]) -> float:
    """Return the private memory of processes, in MB."""
    total = 0
    for process in processes:
        # Not with psutil, whose objects are not thread-safe.
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            total += sum(map(int, re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB", rollup, re.M)))
    return total / 1024


def deleted_open_files_mb(process: psutil.Process) -> float:
    """Return the size of the deleted files that a process has open, in MB."""
    total = 0
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(descriptor).endswith("(deleted)"):
                total += descriptor.stat().st_size
    return total / MEGABYTE
