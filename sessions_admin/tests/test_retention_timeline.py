"""Conversations under a clean-up every night for seventy days follow the retention rules R6 and R16."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import pytest
import time_machine
from django.conf import settings
from django.utils import timezone

from chat.conversations import services as conversations
from chat.memory.identity import SessionId
from chat.memory.metadata import update_metadata
from chat.models import AgentSession, Conversation, User
from chat.models.turn import Status
from sessions_admin.models import CleanedConversation, CleanupRun, RunStatus, Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.sessions.lifecycle import hold_session, release_session
from sessions_admin.tests.conftest import MakeSession, append_items, create_turn

# Clean-ups start at the same time of day as the last activity, so that ages are exact to the second.
BEGIN = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
NOON = timedelta(hours=10)
DAYS = 70

Action: TypeAlias = Callable[[AgentSession], object]
Timeline: TypeAlias = list[tuple[int, str]]


def by_owner(service: Callable[..., object]) -> Action:
    """Return an action that calls a service of conversations as the owner."""
    return lambda session: service(user_id=session.user_id, conversation_id=session.conversation_id)


def send_message(session: AgentSession) -> None:
    """Send a message as the owner; add it and its reply to the session."""
    create_turn(session, Status.DONE)
    size = append_items(settings.AGENT_SESSION_DB_PATH, session.session_id, 2)
    update_metadata(SessionId(session.user_id, session.conversation_id), size=size, now=timezone.now())


def wait_for_decision(session: AgentSession) -> None:
    """Leave a turn waiting for the owner's decision."""
    create_turn(session, Status.WAITING)


def hold(days: int | None = None) -> Action:
    """Return an action that holds the session until this day or without an end."""
    until = None if days is None else BEGIN + timedelta(days=days)
    return lambda session: hold_session(session.session_id, actor="os:ada", reason="A complaint.", until=until)


def release(session: AgentSession) -> None:
    release_session(session.session_id, actor="os:ada")


# By name: the actions at noon by day, and the first day of each state after the clean-up of that night.
SCENARIOS: dict[str, tuple[dict[int, Action], Timeline]] = {
    "active": (dict.fromkeys(range(0, DAYS, 5), send_message), [(0, "here")]),
    "idle": ({}, [(0, "here"), (7, "here, forgotten"), (30, "trash, forgotten"), (60, "gone")]),
    "held": ({0: hold()}, [(0, "here")]),
    "held for 40 days": ({0: hold(40)}, [(0, "here"), (40, "here, forgotten"), (47, "trash, forgotten")]),
    "released": ({0: hold(), 50: release}, [(0, "here"), (51, "here, forgotten"), (58, "trash, forgotten")]),
    "woken": (
        {29: send_message},
        [(0, "here"), (7, "here, forgotten"), (30, "here"), (37, "here, forgotten"), (60, "trash, forgotten")],
    ),
    "pinned": ({0: by_owner(conversations.pin)}, [(0, "here"), (7, "here, forgotten")]),
    "unpinned": (
        {0: by_owner(conversations.pin), 20: by_owner(conversations.unpin)},
        [(0, "here"), (7, "here, forgotten"), (51, "trash, forgotten")],
    ),
    "archived": (
        {1: by_owner(conversations.archive)},
        [(0, "here"), (2, "archive"), (7, "archive, forgotten"), (32, "trash, forgotten"), (62, "gone")],
    ),
    "trashed": ({3: by_owner(conversations.trash)}, [(0, "here"), (4, "trash"), (7, "trash, forgotten"), (34, "gone")]),
    "trashed, held and released": (
        {3: by_owner(conversations.trash), 4: hold(), 50: release},
        [(0, "here"), (4, "trash"), (51, "trash, forgotten"), (58, "gone")],
    ),
    "trashed and held": ({3: by_owner(conversations.trash), 4: hold()}, [(0, "here"), (4, "trash")]),
    "restored": (
        {45: by_owner(conversations.restore)},
        [(0, "here"), (7, "here, forgotten"), (30, "trash, forgotten"), (46, "here, forgotten")],
    ),
    "kept": ({25: by_owner(conversations.keep)}, [(0, "here"), (7, "here, forgotten"), (56, "trash, forgotten")]),
    "spoken to in the trash": (
        {50: send_message},
        [(0, "here"), (7, "here, forgotten"), (30, "trash, forgotten"), (51, "here"), (58, "here, forgotten")],
    ),
    "waiting for a decision": ({0: wait_for_decision}, [(0, "here")]),
}


@pytest.mark.long
def test_conversations_follow_the_retention_rules_over_seventy_days(
    owner: User, make_session: MakeSession, session_file: Path, no_machine_clock: None
) -> None:
    observed: dict[str, list[str]] = {name: [] for name in SCENARIOS}
    with time_machine.travel(BEGIN, tick=False) as clock:
        sessions = {name: make_session(owner, idle=timedelta(0), title=name) for name in SCENARIOS}
        for day in range(DAYS + 1):
            clock.move_to(BEGIN + timedelta(days=day))
            assert cleanup(trigger=Trigger.SCHEDULE).status == RunStatus.DONE
            for name, state in _states(sessions, session_file).items():
                observed[name].append(state)
            clock.move_to(BEGIN + timedelta(days=day) + NOON)
            for name, (actions, _) in SCENARIOS.items():
                if day in actions:
                    actions[day](sessions[name])

    assert {name: _changes(states) for name, states in observed.items()} == {
        name: timeline for name, (_, timeline) in SCENARIOS.items()
    }
    _assert_recorded(sessions)


def _assert_recorded(sessions: dict[str, AgentSession]) -> None:
    names = {session.conversation_id: name for name, session in sessions.items()}
    nights: dict[tuple[str, bool], int] = {}
    for cleaned in CleanedConversation.objects.select_related("run"):
        assert cleaned.run.started_at
        nights[names[cleaned.conversation_id], cleaned.is_purged] = (cleaned.run.started_at - BEGIN).days
    trashed, purged = (
        {
            name: next((day for day, state in timeline if state.startswith(prefix)), None)
            for name, (_, timeline) in SCENARIOS.items()
        }
        for prefix in ("trash", "gone")
    )
    by_hand = {"trashed", "trashed and held", "trashed, held and released"}
    expected = {(name, False): day for name, day in trashed.items() if day is not None and name not in by_hand}
    assert nights == expected | {(name, True): day for name, day in purged.items() if day is not None}
    counted = [(run.trashed_conversations, run.purged_conversations) for run in CleanupRun.objects.all()]
    assert (sum(t for t, _ in counted), sum(p for _, p in counted)) == (
        sum(not is_purged for _, is_purged in nights),
        sum(is_purged for _, is_purged in nights),
    )


def _states(sessions: dict[str, AgentSession], path: Path) -> dict[str, str]:
    """Return the place of each conversation, and whether its session still has rows."""
    rows = Conversation.objects.in_bulk()
    with closing(sqlite3.connect(path)) as file:
        tables = ("agent_messages", "agent_sessions", "threadkeeper_turns")
        stored_ids = {row[0] for table in tables for row in file.execute(f"SELECT session_id FROM {table}")}  # noqa: S608
    states = {}
    for name, session in sessions.items():
        row = rows.get(session.conversation_id)
        place = "gone" if row is None else "trash" if row.trashed_at else "archive" if row.archived_at else "here"
        has_rows = session.session_id in stored_ids
        assert not (row is None and has_rows)
        states[name] = place if has_rows or row is None else f"{place}, forgotten"
    return states


def _changes(states: list[str]) -> Timeline:
    """Return the first day of each state."""
    return [(next(days)[0], state) for state, days in groupby(enumerate(states), key=lambda pair: pair[1])]
