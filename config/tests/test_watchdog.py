"""A server that can serve no more ends by itself, says why, and is started again; one that was suspended goes on."""

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


class Faulty:
    """A server that a test can damage."""

    def __init__(self, database: LiveDatabase, folder: Path, fault: str, *, patience: int) -> None:
        self.when = folder / "now"
        self.server = ServerProcess(
            database,
            folder,
            program="config.tests.tuned_server",
            TUNED=f"config.runtime.watchdog:MAX_STUCK_TICKS={patience} config.runtime.watchdog:END_TIMEOUT=3",
            FAULT=fault,
            FAULT_WHEN=str(self.when),
        )

    def damage(self, *, within: float) -> list[str]:
        """Do the damage, wait for the end, and return what was logged of it."""
        self.when.touch()
        assert self.server.process.wait(within) == EXIT_CODE
        return [line for line in self.server.output.splitlines() if "The server ends" in line]


REASONS = {
    "loop": "the event loop has been in sleep_in_the_loop",
    "pool": "wait for a database connection, and none was returned",
    "threads": "wait for database, and none was returned",
}


@pytest.mark.parametrize("fault", ["pool", "threads"])
def test_a_server_that_is_stuck_ends(live_database: LiveDatabase, tmp_path: Path, fault: str) -> None:
    faulty = Faulty(live_database, tmp_path, fault, patience=SHORT)
    (line,) = faulty.damage(within=25)
    assert REASONS[fault] in line


def test_a_server_that_was_suspended_goes_on_and_one_whose_loop_is_stuck_ends(
    live_database: LiveDatabase, tmp_path: Path
) -> None:
    faulty = Faulty(live_database, tmp_path, "loop", patience=SHORT)
    os.kill(faulty.server.process.pid, signal.SIGSTOP)
    time.sleep(SHORT + 2)
    os.kill(faulty.server.process.pid, signal.SIGCONT)
    time.sleep(2)
    assert httpx.get(f"{faulty.server.url}/healthz").status_code == 200
    (line,) = faulty.damage(within=25)
    assert REASONS["loop"] in line


@pytest.mark.long
@pytest.mark.parametrize("fault", REASONS)
def test_it_is_given_fifteen_seconds(live_database: LiveDatabase, tmp_path: Path, fault: str) -> None:
    faulty = Faulty(live_database, tmp_path, fault, patience=MAX_STUCK_TICKS)
    began = time.monotonic()
    faulty.damage(within=40)
    assert 14 < time.monotonic() - began < 30


# What `up` asks its children.


class Child:
    """Answers as a test says; each question is counted."""

    def __init__(self) -> None:
        self.works: bool | None = True
        self.asked = 0

    def __call__(self) -> bool | None:
        self.asked += 1
        return self.works

    def answered(self, times: int) -> None:
        """Wait until it was asked so often again."""
        until = self.asked + times
        eventually(lambda: self.asked >= until)


@pytest.fixture
def child() -> Child:
    return Child()


@pytest.fixture
def probe(child: Child) -> Iterator[Probe]:
    probe = Probe("child", child, ProbeTimings(interval=0.01, timeout=0.2, start_timeout=30))
    probe.start()
    yield probe
    probe.stop()


def test_a_child_has_failed_after_a_while_without_an_answer(child: Child, probe: Probe) -> None:
    child.answered(2)
    child.works = False
    child.answered(2)
    assert not probe.has_failed
    eventually(lambda: probe.has_failed)
    probe.reset()
    child.answered(30)
    assert not probe.has_failed, "it is still starting"


def test_a_question_that_cannot_be_asked_says_nothing(child: Child, probe: Probe) -> None:
    child.answered(2)
    child.works = None
    child.answered(30)
    assert not probe.has_failed
