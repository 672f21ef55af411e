"""A clean-up takes small steps with pauses while a turn runs, and large ones otherwise."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from chat.memory.sync_file import SessionFile, opened
from chat.models import Turn, User
from chat.models.turn import Status
from sessions_admin.models import Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.retention.pace import PAUSE, Pace
from sessions_admin.tests.conftest import MakeSession, create_turn


@pytest.fixture
def running_turn(make_session: MakeSession, owner: User) -> Turn:
    """A turn that runs in another conversation."""
    return create_turn(make_session(owner), Status.RUNNING)


def trace_transactions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the write transactions on the file."""
    transactions_begun: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(*args, **kwargs)
        made.set_trace_callback(
            lambda statement: transactions_begun.append(statement) if statement == "BEGIN IMMEDIATE" else None
        )
        return made

    monkeypatch.setattr(sqlite3, "connect", traced)
    return transactions_begun


@pytest.mark.parametrize(
    ("seconds", "has_turn", "expected"),
    [(60, False, 1), (0, False, 12), (60, True, 2)],
    ids=["all at once", "one each when slow", "few beside a turn"],
)
def test_sessions_per_transaction_depend_on_speed_and_running_turns(
    make_session: MakeSession,
    session_file: Path,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    has_turn: bool,
    expected: int,
) -> None:
    monkeypatch.setattr("chat.memory.sync_file.SECONDS_IF_QUIET", seconds)
    monkeypatch.setattr("sessions_admin.retention.pace.PAUSE", 0)
    if has_turn:
        create_turn(make_session(owner), Status.RUNNING)
    for _ in range(12):
        make_session(owner)
    transactions_begun = trace_transactions(monkeypatch)

    assert cleanup(trigger=Trigger.COMMAND).sessions == 12

    assert len(transactions_begun) == expected


def test_each_step_is_followed_by_a_pause_while_a_turn_runs(session_file: Path, running_turn: Turn) -> None:
    began = time.monotonic()
    with opened(session_file) as store:
        with Pace().step(store):
            ends = time.monotonic() + 0.02
            while time.monotonic() < ends:
                pass
        assert not store.is_quiet

    assert time.monotonic() - began >= (1 + PAUSE) * 0.02


def test_pace_stays_slow_after_a_turn_ends(session_file: Path, running_turn: Turn) -> None:
    pace = Pace()
    with opened(session_file) as store:
        assert not _is_quiet(pace, store)
        _end_turn()
        assert not _is_quiet(pace, store)
        assert _is_quiet(Pace(), store)


def test_pauses_end_after_minutes_with_turns(
    session_file: Path, running_turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_admin.retention.pace.PACED_FOR", 0)
    with opened(session_file) as store:
        assert _is_quiet(Pace(), store)


def _end_turn() -> None:
    for turn in Turn.objects.all():
        turn.status, turn.ended_at = Status.DONE, turn.accepted_at
        turn.save()


def _is_quiet(pace: Pace, store: SessionFile) -> bool:
    with pace.step(store):
        pass
    return store.is_quiet
