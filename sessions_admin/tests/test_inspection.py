"""What is in a session, laid open by the one function that writes down who looks."""

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
from sessions_admin.tests.conftest import BOTH_STORES, GivenSession, give_turn, sql

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


def look(session: AgentSession, reason: str = "She asked why") -> Inspection:
    return inspect(session.session_id, actor="os:tester", reason=reason)


def give(session: AgentSession, items: Sequence[dict[str, Any]], *, turn: Turn | None = None) -> None:
    """Put items into a session, as the given turn did it, and into the record of that turn."""
    with opened() as store:
        size = store.replace(session.session_id, items, Fence(turn.seq if turn else 1, 1))
    AgentSession.objects.filter(pk=session.pk).update(item_count=size.items, byte_count=size.bytes)
    if turn:
        Turn.objects.filter(pk=turn.pk).update(items=list(items))


@pytest.fixture
def session(given_session: GivenSession, owner: User, session_file: Path) -> AgentSession:
    """A session after one turn, in which a tool was called."""
    session = given_session(owner)
    turn = give_turn(session, Status.DONE)
    give(session, [ASKED, CALL, OTHER, OUTPUT, OTHER_OUTPUT, DONE], turn=turn)
    TurnStep.objects.create(turn=turn, n=1, output=[CALL], usage={"input_tokens": 7}, duration_ms=80)
    ToolCall.objects.create(turn=turn, call_id="c1", name="create_task", arguments={"title": "Cake"}, output="{}")
    session.refresh_from_db()
    return session


def test_items_are_shown_in_order_with_each_call_beside_its_output(session: AgentSession) -> None:
    memory = look(session).memory

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


def test_it_is_written_down_before_it_is_shown_and_not_shown_without_a_reason(session: AgentSession) -> None:
    with pytest.raises(BadInput, match="requires a reason"):
        look(session, reason="  ")
    assert not AuditRecord.objects.exists()

    look(session, reason=" She asked why ")

    record = AuditRecord.objects.get()
    assert (record.action, record.actor, record.reason) == (Action.INSPECT, "os:tester", "She asked why")
    assert (record.person, record.session_id) == (str(session.user_id), session.session_id)
    assert record.result == {"items": 6, "messages": 1, "turns": 1}
    export_session(session.session_id, actor="os:tester", reason="For her")
    assert AuditRecord.objects.first().action == Action.EXPORT  # type: ignore[union-attr]


def test_who_cannot_be_written_down_is_shown_nothing(session: AgentSession) -> None:
    with pytest.raises(Exception, match="value too long"):
        inspect(session.session_id, actor="x" * 65, reason="Because")


def test_beside_it_stand_the_messages_and_the_journal(session: AgentSession) -> None:
    seen = look(session)

    assert [(said.position, said.role, said.text) for said in seen.conversation] == [(1, "user", "Hello again")]
    (turn,) = seen.journal
    assert (turn.seq, turn.status, [step.output for step in turn.steps]) == (1, "done", [[CALL]])
    assert [(call.name, call.arguments, call.output) for call in turn.calls] == [
        ("create_task", {"title": "Cake"}, "{}")
    ]


@BOTH_STORES
def test_a_row_at_fault_is_marked_and_what_the_next_turn_is_given_stands_beside_it(
    session: AgentSession, session_file: Path
) -> None:
    for text in ("half a thought", json.dumps(OUTPUT)):
        insert = "INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)"
        sql(session_file, insert, session.session_id, text)

    memory = look(session).memory

    assert memory.course == NextMemory.REBUILT
    assert [(entry.kind, entry.fault) for entry in memory.stored if entry.fault] == [
        ("bad", "holds no item"),
        ("output", "answers no open call"),
    ]
    assert [entry.kind for entry in memory.given] == ["user", "call", "call", "assistant"]
    assert memory.faults == 2
    assert "The metadata has 6 items" in memory.drift
    assert "the store has 8 items" in memory.drift


def test_a_session_that_expired_shows_with_what_the_next_turn_would_begin(session: AgentSession) -> None:
    expire_session(session.session_id, actor="os:tester")

    memory = look(session).memory

    assert (memory.stored, memory.course) == ([], NextMemory.REBUILT)
    assert memory.given[0].text == "Add a cake"


def test_one_that_was_cleared_shows_that_nothing_comes_back(session: AgentSession) -> None:
    clear_session(session.session_id, actor="os:tester")

    seen = look(session)

    assert (seen.memory.given, seen.memory.course) == ([], NextMemory.AS_STORED)
    assert [said.is_forgotten for said in seen.conversation] == [True]


@BOTH_STORES
def test_the_conversation_tells_where_the_memory_begins(session: AgentSession, session_file: Path) -> None:
    later = give_turn(session, Status.DONE)
    give(session, [ASKED, DONE], turn=later)
    AgentSession.objects.update(pruned_count=6)

    seen = look(session)

    assert [(said.turn, said.begins_memory) for said in seen.conversation] == [(1, False), (2, True)]
    assert seen.memory.pruned == 6


def test_rows_in_quarantine_are_shown_with_what_is_in_them(session: AgentSession) -> None:
    quarantine(session.session_id, [Suspect(7, "half a thought", "holds no item")])

    (row,) = look(session).quarantine

    assert (row.row_id, row.content, row.reason) == (7, "half a thought", "holds no item")


@BOTH_STORES
def test_while_a_turn_waits_its_open_call_is_no_fault(session: AgentSession, session_file: Path) -> None:
    turn = give_turn(session, Status.WAITING)
    give(session, [ASKED, CALL], turn=turn)
    ToolCall.objects.create(turn=turn, call_id="c1", name="create_task", arguments={}, decision="awaiting")

    memory = look(session).memory

    assert (memory.course, memory.faults) == (NextMemory.AT_WORK, 0)
    assert memory.given is memory.stored


def test_looking_changes_nothing(session: AgentSession, session_file: Path) -> None:
    with closing(sqlite3.connect(session_file)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (hashlib.sha256(session_file.read_bytes()).digest(), session_file.stat().st_mtime_ns)
    mirror = AgentSession.objects.values().get()

    look(session)

    assert (hashlib.sha256(session_file.read_bytes()).digest(), session_file.stat().st_mtime_ns) == before
    assert AgentSession.objects.values().get() == mirror


def test_without_the_file_the_rest_is_still_shown_and_none_is_made(session: AgentSession, session_file: Path) -> None:
    for path in session_file.parent.glob("agent_sessions.db*"):
        path.unlink()

    seen = look(session)

    assert (seen.memory.trouble, seen.memory.course) == ("There is no session file.", NextMemory.UNKNOWN)
    assert seen.memory.drift == ""
    assert [said.text for said in seen.conversation] == ["Hello again"]
    assert not session_file.exists()


def test_a_file_that_is_locked_or_spoilt_is_told_in_a_sentence(
    session: AgentSession, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_file, "LOCK_BUDGET", 0.05)
    with closing(sqlite3.connect(session_file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE agent_sessions SET session_id = session_id")
        other.execute("COMMIT")
        locked = look(session)
    for path in session_file.parent.glob("agent_sessions.db*"):
        path.unlink()
    session_file.write_bytes(b"not a database" * 1000)

    spoilt = look(session)

    assert "The session store cannot be used: " in locked.memory.trouble
    assert "The session store cannot be used: file is not a database" in spoilt.memory.trouble
    assert spoilt.journal
    assert AuditRecord.objects.count() == 2


@BOTH_STORES
def test_what_cannot_be_shown_is_marked_and_breaks_nothing(session: AgentSession, session_file: Path) -> None:
    give(session, [{"role": "user", "content": "half a smile \ud83d"}])

    seen = look(session)

    assert seen.memory.stored[0].text == "half a smile \ufffd"
    json.dumps(seen.as_json(), ensure_ascii=False).encode()


def test_a_page_holds_the_newest_and_an_export_all(session: AgentSession, monkeypatch: pytest.MonkeyPatch) -> None:
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

    seen = look(session)

    assert ([said.position for said in seen.conversation], seen.messages) == ([2, 3], 3)
    exported = export_session(session.session_id, actor="os:tester", reason="For her").as_json()
    assert [said["position"] for said in exported["conversation"]] == [1, 2, 3]
    assert exported["memory"]["given"][1]["item"] == CALL
