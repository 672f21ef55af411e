"""A stuck server logs the reason and exits, so that it is restarted; a server that was suspended continues."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from config.runtime.probe import Probe, ProbeTimings
from config.runtime.watchdog import EXIT_CODE, MAX_STUCK_TICKS
from config.tests.support import LiveDatabase, ServerProcess, eventually

pytestmark = pytest.mark.service

SHORT = 3  # ticks


class FaultyServer:
    """A server with a fault that a test can trigger."""

    def __init__(self, database: LiveDatabase, folder: Path, fault: str, *, patience: int) -> None:
        self.trigger_file = folder / "now"
        self.server = ServerProcess(
            database,
            folder,
            program="config.tests.tuned_server",
            TUNED=f"config.runtime.watchdog:MAX_STUCK_TICKS={patience} config.runtime.watchdog:END_TIMEOUT=3",
            FAULT=fault,
            FAULT_WHEN=str(self.trigger_file),
        )

    def trigger(self, *, within: float) -> list[str]:
        """Trigger the fault, wait until the server exits, and return the log lines about it."""
        self.trigger_file.touch()
        assert self.server.process.wait(within) == EXIT_CODE
        return [line for line in self.server.output.splitlines() if "The server ends" in line]


REASONS = {
    "loop": "the event loop has been in sleep_in_the_loop",
    "pool": "wait for a database connection, and none was returned",
    "threads": "wait for database, and none was returned",
}


@pytest.mark.long
@pytest.mark.parametrize("fault", ["pool", "threads"])
def test_stuck_server_exits_with_a_logged_reason(live_database: LiveDatabase, tmp_path: Path, fault: str) -> None:
    faulty = FaultyServer(live_database, tmp_path, fault, patience=SHORT)
    (line,) = faulty.trigger(within=25)
    assert REASONS[fault] in line


@pytest.mark.long
def test_suspended_server_continues_and_exits_when_its_loop_is_blocked(
    live_database: LiveDatabase, tmp_path: Path
) -> None:
    faulty = FaultyServer(live_database, tmp_path, "loop", patience=SHORT)
    os.kill(faulty.server.process.pid, signal.SIGSTOP)
    time.sleep(SHORT + 2)
    os.kill(faulty.server.process.pid, signal.SIGCONT)
    time.sleep(2)
    assert httpx.get(f"{faulty.server.url}/healthz").status_code == 200
    (line,) = faulty.trigger(within=25)
    assert REASONS["loop"] in line


@pytest.mark.long
@pytest.mark.parametrize("fault", REASONS)
def test_stuck_server_exits_after_fifteen_seconds(live_database: LiveDatabase, tmp_path: Path, fault: str) -> None:
    faulty = FaultyServer(live_database, tmp_path, fault, patience=MAX_STUCK_TICKS)
    started = time.monotonic()
    faulty.trigger(within=40)
    assert 14 < time.monotonic() - started < 30


# Probes of `up`.


class Child:
    """The function of a probe: it returns what a test sets, and counts its calls."""

    def __init__(self) -> None:
        self.result: bool | None = True
        self.calls = 0

    def __call__(self) -> bool | None:
        self.calls += 1
        return self.result

    def await_calls(self, times: int) -> None:
        """Wait for this many more calls."""
        expected = self.calls + times
        eventually(lambda: self.calls >= expected)


@pytest.fixture
def child() -> Child:
    return Child()


@pytest.fixture
def probe(child: Child) -> Iterator[Probe]:
    probe = Probe("child", child, ProbeTimings(interval=0.01, timeout=0.2, start_timeout=30))
    probe.start()
    yield probe
    probe.stop()


def test_probe_fails_after_timeout_and_is_patient_after_reset(child: Child, probe: Probe) -> None:
    child.await_calls(2)
    child.result = False
    child.await_calls(2)
    assert not probe.has_failed
    eventually(lambda: probe.has_failed)
    probe.reset()
    child.await_calls(30)
    assert not probe.has_failed, "the service is starting"


def test_probe_without_result_does_not_fail(child: Child, probe: Probe) -> None:
    child.await_calls(2)
    child.result = None
    child.await_calls(30)
    assert not probe.has_failed
