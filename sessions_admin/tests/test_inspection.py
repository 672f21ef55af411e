"""An inspection shows the content of a session and is recorded in the audit."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from chat.exceptions import BadInput
from chat.memory import sync_file
from chat.memory.configured import opened
from chat.memory.quarantine import Suspect, quarantine
from chat.memory.statements import Fence
from chat.models import AgentSession, Conversation, Message, ToolCall, Turn, TurnStep, User
from chat.models.turn import Status
from sessions_admin.models import Action, AuditRecord
from sessions_admin.sessions.inspection import Inspection, NextMemory, export_session, inspect
from sessions_admin.sessions.lifecycle import clear_session, expire_session
from sessions_admin.tests.conftest import BOTH_STORES, MakeSession, create_turn, sql

CALL = {"type": "function_call", "call_id": "c1", "name": "create_task", "arguments": '{"title": "Cake"}'}
OTHER = {"type": "function_call", "call_id": "c2", "name": "list_tasks", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": '{"ok": true}'}
OTHER_OUTPUT = {"type": "function_call_output", "call_id": "c2", "output": "[]"}
ASKED = {"role": "user", "content": "Add a cake"}
DONE = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "It is on the list."}],
}


def inspect_as_tester(session: AgentSession, reason: str = "She asked why") -> Inspection:
    return inspect(session.session_id, actor="os:tester", reason=reason)


def store_items(session: AgentSession, items: Sequence[dict[str, Any]], *, turn: Turn | None = None) -> None:
    """Store items in a session as the given turn would, and in the row of that turn."""
    with opened() as store:
        size = store.replace(session.session_id, items, Fence(turn.seq if turn else 1, 1))
    AgentSession.objects.filter(pk=session.pk).update(item_count=size.items, byte_count=size.bytes)
    if turn:
        Turn.objects.filter(pk=turn.pk).update(items=list(items))


@pytest.fixture
def session(make_session: MakeSession, owner: User, session_file: Path) -> AgentSession:
    """A session after one turn with a tool call."""
    session = make_session(owner)
    turn = create_turn(session, Status.DONE)
    store_items(session, [ASKED, CALL, OTHER, OUTPUT, OTHER_OUTPUT, DONE], turn=turn)
    TurnStep.objects.create(turn=turn, n=1, output=[CALL], usage={"input_tokens": 7}, duration_ms=80)
    ToolCall.objects.create(turn=turn, call_id="c1", name="create_task", arguments={"title": "Cake"}, output="{}")
    session.refresh_from_db()
    return session


def test_items_are_shown_in_order_with_each_call_next_to_its_output(session: AgentSession) -> None:
    memory = inspect_as_tester(session).memory

    assert [(entry.n, entry.kind, entry.text) for entry in memory.given] == [
        (1, "user", "Add a cake"),
        (2, "call", '{"title": "Cake"}'),
        (3, "call", "{}"),
        (6, "assistant", "It is on the list."),
    ]
    first, second = memory.given[1:3]
    assert (first.name, first.output_n, first.output_text) == ("create_task", 4, '{"ok": true}')
    assert (second.name, second.output_n, second.output) == ("list_tasks", 5, OTHER_OUTPUT)
    assert (memory.course, memory.drift, memory.faults) == (NextMemory.AS_STORED, "", 0)


def test_inspection_requires_a_reason_and_is_audited(session: AgentSession) -> None:
    with pytest.raises(BadInput, match="requires a reason"):
        inspect_as_tester(session, reason="  ")
    assert not AuditRecord.objects.exists()

    inspect_as_tester(session, reason=" She asked why ")

    record = AuditRecord.objects.get()
    assert (record.action, record.actor, record.reason) == (Action.INSPECT, "os:tester", "She asked why")
    assert (record.person, record.session_id) == (str(session.user_id), session.session_id)
    assert record.result == {"items": 6, "messages": 1, "turns": 1}
    export_session(session.session_id, actor="os:tester", reason="For her")
    assert AuditRecord.objects.first().action == Action.EXPORT  # type: ignore[union-attr]


def test_inspection_fails_if_its_audit_record_cannot_be_stored(session: AgentSession) -> None:
    with pytest.raises(Exception, match="value too long"):
        inspect(session.session_id, actor="x" * 65, reason="Because")


def test_inspection_includes_messages_and_journal(session: AgentSession) -> None:
    inspection = inspect_as_tester(session)

    assert [(message.position, message.role, message.text) for message in inspection.conversation] == [
        (1, "user", "Hello again")
    ]
    (turn,) = inspection.journal
    assert (turn.seq, turn.status, [step.output for step in turn.steps]) == (1, "done", [[CALL]])
    assert [(call.name, call.arguments, call.output) for call in turn.calls] == [
        ("create_task", {"title": "Cake"}, "{}")
    ]


@BOTH_STORES
def test_invalid_rows_are_marked_and_the_rebuilt_memory_is_shown(session: AgentSession, session_file: Path) -> None:
    for text in ("half a thought", json.dumps(OUTPUT)):
        insert = "INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)"
        sql(session_file, insert, session.session_id, text)

    memory = inspect_as_tester(session).memory

    assert memory.course == NextMemory.REBUILT
    assert [(entry.kind, entry.fault) for entry in memory.stored if entry.fault] == [
        ("bad", "holds no item"),
        ("output", "answers no open call"),
    ]
    assert [entry.kind for entry in memory.given] == ["user", "call", "call", "assistant"]
    assert memory.faults == 2
    assert "The metadata has 6 items" in memory.drift
    assert "the store has 8 items" in memory.drift


def test_expired_session_shows_the_memory_that_the_next_turn_starts_with(session: AgentSession) -> None:
    expire_session(session.session_id, actor="os:tester")

    memory = inspect_as_tester(session).memory

    assert (memory.stored, memory.course) == ([], NextMemory.REBUILT)
    assert memory.given[0].text == "Add a cake"


def test_cleared_session_shows_that_the_next_turn_starts_empty(session: AgentSession) -> None:
    clear_session(session.session_id, actor="os:tester")

    inspection = inspect_as_tester(session)

    assert (inspection.memory.given, inspection.memory.course) == ([], NextMemory.AS_STORED)
    assert [message.is_forgotten for message in inspection.conversation] == [True]


@BOTH_STORES
def test_inspection_marks_the_message_where_memory_begins(session: AgentSession, session_file: Path) -> None:
    later = create_turn(session, Status.DONE)
    store_items(session, [ASKED, DONE], turn=later)
    AgentSession.objects.update(pruned_count=6)

    inspection = inspect_as_tester(session)

    assert [(message.turn, message.begins_memory) for message in inspection.conversation] == [(1, False), (2, True)]
    assert inspection.memory.pruned == 6


def test_quarantined_rows_are_shown_with_their_content(session: AgentSession) -> None:
    quarantine(session.session_id, [Suspect(7, "half a thought", "holds no item")])

    (row,) = inspect_as_tester(session).quarantine

    assert (row.row_id, row.content, row.reason) == (7, "half a thought", "holds no item")


@BOTH_STORES
def test_open_call_of_a_waiting_turn_is_no_fault(session: AgentSession, session_file: Path) -> None:
    turn = create_turn(session, Status.WAITING)
    store_items(session, [ASKED, CALL], turn=turn)
    ToolCall.objects.create(turn=turn, call_id="c1", name="create_task", arguments={}, decision="awaiting")

    memory = inspect_as_tester(session).memory

    assert (memory.course, memory.faults) == (NextMemory.AT_WORK, 0)
    assert memory.given is memory.stored


def test_inspection_changes_neither_store_nor_metadata(session: AgentSession, session_file: Path) -> None:
    with closing(sqlite3.connect(session_file)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (hashlib.sha256(session_file.read_bytes()).digest(), session_file.stat().st_mtime_ns)
    metadata = AgentSession.objects.values().get()

    inspect_as_tester(session)

    assert (hashlib.sha256(session_file.read_bytes()).digest(), session_file.stat().st_mtime_ns) == before
    assert AgentSession.objects.values().get() == metadata


def test_missing_session_file_is_reported_and_not_created(session: AgentSession, session_file: Path) -> None:
    for path in session_file.parent.glob("agent_sessions.db*"):
        path.unlink()

    inspection = inspect_as_tester(session)

    assert (inspection.memory.trouble, inspection.memory.course) == ("There is no session file.", NextMemory.UNKNOWN)
    assert inspection.memory.drift == ""
    assert [message.text for message in inspection.conversation] == ["Hello again"]
    assert not session_file.exists()


def test_locked_or_corrupt_session_file_is_reported(
    session: AgentSession, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_file, "LOCK_BUDGET", 0.05)
    with closing(sqlite3.connect(session_file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE agent_sessions SET session_id = session_id")
        other.execute("COMMIT")
        locked = inspect_as_tester(session)
    for path in session_file.parent.glob("agent_sessions.db*"):
        path.unlink()
    session_file.write_bytes(b"not a database" * 1000)

    corrupt = inspect_as_tester(session)

    assert "The session store cannot be used: " in locked.memory.trouble
    assert "The session store cannot be used: file is not a database" in corrupt.memory.trouble
    assert corrupt.journal
    assert AuditRecord.objects.count() == 2


@BOTH_STORES
def test_lone_surrogate_is_shown_as_a_replacement_character(session: AgentSession, session_file: Path) -> None:
    store_items(session, [{"role": "user", "content": "half a smile \ud83d"}])

    inspection = inspect_as_tester(session)

    assert inspection.memory.stored[0].text == "half a smile \ufffd"
    json.dumps(inspection.as_json(), ensure_ascii=False).encode()


def test_inspection_shows_the_newest_messages_and_export_contains_all(
    session: AgentSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_admin.sessions.inspection.MAX_SHOWN", 2)
    conversation = Conversation.objects.get()
    turn = Turn.objects.get()
    for position in (2, 3):
        Message.objects.create(
            conversation=conversation,
            turn=turn,
            role="assistant",
            text="x",
            position=position,
            created_at=timezone.now(),
        )

    inspection = inspect_as_tester(session)

    assert ([message.position for message in inspection.conversation], inspection.messages) == ([2, 3], 3)
    exported = export_session(session.session_id, actor="os:tester", reason="For her").as_json()
    assert [message["position"] for message in exported["conversation"]] == [1, 2, 3]
    assert exported["memory"]["given"][1]["item"] == CALL
