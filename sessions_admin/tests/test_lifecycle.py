"""Staff actions on a session: both stores change together, turns are not disturbed, and the audit names the actor."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agents.testing import ScriptedModel, assistant_message
from django.utils import timezone
from pytest_django import Settings

from chat.exceptions import BadInput, Conflict, NotFound
from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.memory.statements import Delete
from chat.models import AgentSession, User
from chat.models.session import State
from chat.models.turn import Status
from chat.tests.conftest import Chat
from chat.turns.accept import accept_edit
from sessions_admin.models import AuditRecord, Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.sessions import lifecycle
from sessions_admin.tests.conftest import BOTH_STORES, MakeSession, count_rows, create_turn

BY = "os:tester"
REMOVING = (lifecycle.clear_session, lifecycle.expire_session)
CHANGING = (*REMOVING, lifecycle.prune_session, lifecycle.rebuild_session)


def state_of(session: AgentSession) -> str:
    found = AgentSession.objects.with_state().get(pk=session.pk)
    return str(found.state)  # type: ignore[attr-defined]  # annotated


@BOTH_STORES
def test_a_session_is_pruned_to_its_limit(
    make_session: MakeSession, owner: User, session_file: Path, settings: Settings
) -> None:
    session = make_session(owner, items=10)
    settings.AGENT_SESSION_MAX_MESSAGES = 4

    outcome = lifecycle.prune_session(session.session_id, actor=BY, reason="too long")

    assert (outcome.items_before, outcome.items) == (10, 4)
    session.refresh_from_db()
    assert (session.item_count, session.pruned_count) == (4, 6)
    assert count_rows(session_file, session.session_id)[0] == 4
    record = AuditRecord.objects.get()
    assert (record.action, record.actor, record.reason) == ("prune", BY, "too long")
    assert (record.session_id, record.result["items_before"]) == (session.session_id, 10)


@BOTH_STORES
def test_expired_session_is_deleted_from_both_stores(
    make_session: MakeSession, owner: User, session_file: Path
) -> None:
    session = make_session(owner, idle=timedelta(0))

    assert lifecycle.expire_session(session.session_id, actor=BY).items == 0

    assert count_rows(session_file, session.session_id) == [0, 0, 0]
    assert state_of(session) == State.GONE
    session.refresh_from_db()
    assert (session.item_count, session.pruned_count) == (0, 4)


@BOTH_STORES
@pytest.mark.parametrize("verb", REMOVING)
def test_held_session_cannot_be_removed(
    make_session: MakeSession, owner: User, session_file: Path, verb: Callable[..., Any]
) -> None:
    session = make_session(owner)
    lifecycle.hold_session(session.session_id, actor=BY, reason="asked for by the court")

    with pytest.raises(Conflict, match="held"):
        verb(session.session_id, actor=BY)
    assert cleanup(trigger=Trigger.COMMAND).sessions == 0
    assert count_rows(session_file, session.session_id)[0] == 4
    assert state_of(session) == State.HELD

    lifecycle.release_session(session.session_id, actor=BY)
    assert state_of(session) == State.DUE
    assert cleanup(trigger=Trigger.COMMAND).sessions == 1
    of_sessions = AuditRecord.objects.exclude(session_id="").exclude(result__has_key="failed")
    assert list(of_sessions.values_list("action", flat=True)) == ["release", "hold"]


@BOTH_STORES
def test_hold_ends_at_its_end_date(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)
    lifecycle.hold_session(session.session_id, actor=BY, reason="wait", until=timezone.now() + timedelta(days=1))
    assert cleanup(trigger=Trigger.COMMAND).sessions == 0

    AgentSession.objects.update(held_until=timezone.now() - timedelta(seconds=1))
    assert state_of(session) == State.DUE
    assert cleanup(trigger=Trigger.COMMAND).sessions == 1


@BOTH_STORES
def test_invalid_hold_is_refused(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)
    with pytest.raises(BadInput, match="reason"):
        lifecycle.hold_session(session.session_id, actor=BY, reason=" ")
    with pytest.raises(BadInput, match="past"):
        lifecycle.hold_session(session.session_id, actor=BY, reason="x", until=timezone.now())
    # In a zone behind UTC PostgreSQL would store a year that Python cannot read.
    beyond = datetime.max.replace(tzinfo=UTC)
    with pytest.raises(BadInput, match="100 years"):
        lifecycle.hold_session(session.session_id, actor=BY, reason="x", until=beyond)
    with pytest.raises(Conflict, match="not held"):
        lifecycle.release_session(session.session_id, actor=BY)
    (attempt,) = AuditRecord.objects.all()  # invalid input is not audited
    assert (attempt.action, attempt.person, attempt.result) == (
        "release", str(owner.pk), {"failed": "This session is not held."},
    )  # fmt: skip


@BOTH_STORES
@pytest.mark.parametrize("verb", CHANGING)
@pytest.mark.parametrize("status", [Status.RUNNING, Status.WAITING])
def test_open_turn_blocks_changes_to_its_session(
    make_session: MakeSession, owner: User, session_file: Path, verb: Callable[..., Any], status: Status
) -> None:
    session = make_session(owner)
    create_turn(session, status)

    with pytest.raises(Conflict, match="turn of this conversation is running"):
        verb(session.session_id, actor=BY)
    assert count_rows(session_file, session.session_id)[0] == 4
    assert "is running" in AuditRecord.objects.get().result["failed"]


@BOTH_STORES
@pytest.mark.parametrize("verb", [*CHANGING, lifecycle.release_session])
def test_unknown_session_is_not_found(db: None, session_file: Path, verb: Callable[..., Any]) -> None:
    with pytest.raises(NotFound):
        verb("user_x_conv_y", actor=BY)


# With turns of a chat before and after.


async def send_message(chat: Chat, script: ScriptedModel, text: str) -> list[str]:
    """Send a message; return the user messages in the input of the model."""
    script.enqueue([assistant_message(f"Yes, {text}.")])
    await chat.reply(text)
    await chat.wait_until_idle()
    call = script.last_call
    assert call is not None
    return [item["content"] for item in call.input if item.get("role") == "user"]


@pytest.fixture
def chat_session_id(chat: Chat, settings: Settings) -> str:
    """Use the session file of the chat for the actions; return the session's id."""
    settings.AGENT_SESSION_DB_PATH = chat.session_file
    return str(SessionId(chat.user.pk, chat.conversation_id))


async def test_cleared_messages_never_return_to_the_session(
    chat: Chat, script: ScriptedModel, chat_session_id: str
) -> None:
    await send_message(chat, script, "one")
    await in_database(lambda: lifecycle.clear_session(chat_session_id, actor=BY))

    assert await send_message(chat, script, "two") == ["two"]
    await in_database(lambda: lifecycle.rebuild_session(chat_session_id, actor=BY))
    assert await send_message(chat, script, "three") == ["two", "three"]


async def test_next_turn_rebuilds_an_expired_session(chat: Chat, script: ScriptedModel, chat_session_id: str) -> None:
    await send_message(chat, script, "one")
    await in_database(lambda: lifecycle.expire_session(chat_session_id, actor=BY))

    assert await send_message(chat, script, "two") == ["one", "two"]


async def test_rebuild_restores_deleted_items_without_a_warning_in_the_next_turn(
    chat: Chat, script: ScriptedModel, chat_session_id: str
) -> None:
    await send_message(chat, script, "one")
    await send_message(chat, script, "two")
    before = await chat.session()
    ids = [row.id for row in await chat.runner.store.rows(chat_session_id)]
    await chat.runner.store.write(Delete(chat_session_id, ids[1:3]))

    outcome = await in_database(lambda: lifecycle.rebuild_session(chat_session_id, actor=BY))

    assert (outcome.items_before, outcome.items) == (2, 4)
    assert await chat.session() == before
    script.enqueue([assistant_message("Yes.")])
    accepted = await chat.send("three")
    log = await chat.follow_to_end(accepted.turn)
    assert "warning" not in [entry.event.type for entry in log], "the next turn emits no warning"


async def test_rebuild_drops_items_of_turns_that_an_edit_replaced(
    chat: Chat, script: ScriptedModel, chat_session_id: str
) -> None:
    await send_message(chat, script, "one")
    script.enqueue([assistant_message("Yes.")])
    second = await chat.send("two")
    await chat.follow_to_end(second.turn)
    await send_message(chat, script, "three")
    await chat.runner.drain(0)
    await in_database(lambda: accept_edit_of(chat, str(second.message.id)))

    outcome = await in_database(lambda: lifecycle.rebuild_session(chat_session_id, actor=BY))

    assert (outcome.items_before, outcome.items) == (6, 2), "the edit replaces the last two turns"


def accept_edit_of(chat: Chat, message_id: str) -> None:
    accept_edit(
        user_id=chat.user.pk,
        conversation_id=chat.conversation_id,
        message_id=uuid.UUID(message_id),
        client_id=uuid.uuid4(),
        text="1",
    )
