"""What staff do to a session: both stores change together, a turn is never met, and the audit says who did it."""

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
from sessions_admin.tests.conftest import BOTH_STORES, GivenSession, give_turn, stored

BY = "os:tester"
REMOVING = (lifecycle.clear_session, lifecycle.expire_session)
CHANGING = (*REMOVING, lifecycle.prune_session, lifecycle.rebuild_session)


def state_of(session: AgentSession) -> str:
    found = AgentSession.objects.with_state().get(pk=session.pk)
    return str(found.state)  # type: ignore[attr-defined]  # annotated


@BOTH_STORES
def test_a_session_is_pruned_to_its_limit(
    given_session: GivenSession, owner: User, session_file: Path, settings: Settings
) -> None:
    session = given_session(owner, items=10)
    settings.AGENT_SESSION_MAX_MESSAGES = 4

    outcome = lifecycle.prune_session(session.session_id, actor=BY, reason="too long")

    assert (outcome.items_before, outcome.items) == (10, 4)
    session.refresh_from_db()
    assert (session.item_count, session.pruned_count) == (4, 6)
    assert stored(session_file, session.session_id)[0] == 4
    record = AuditRecord.objects.get()
    assert (record.action, record.actor, record.reason) == ("prune", BY, "too long")
    assert (record.session_id, record.result["items_before"]) == (session.session_id, 10)


@BOTH_STORES
def test_an_expired_session_is_gone_from_both_stores(
    given_session: GivenSession, owner: User, session_file: Path
) -> None:
    session = given_session(owner, idle=timedelta(0))

    assert lifecycle.expire_session(session.session_id, actor=BY).items == 0

    assert stored(session_file, session.session_id) == [0, 0, 0]
    assert state_of(session) == State.GONE
    session.refresh_from_db()
    assert (session.item_count, session.pruned_count) == (0, 4)


@BOTH_STORES
@pytest.mark.parametrize("verb", REMOVING)
def test_nothing_removes_what_is_held(
    given_session: GivenSession, owner: User, session_file: Path, verb: Callable[..., Any]
) -> None:
    session = given_session(owner)
    lifecycle.hold_session(session.session_id, actor=BY, reason="asked for by the court")

    with pytest.raises(Conflict, match="held"):
        verb(session.session_id, actor=BY)
    assert cleanup(trigger=Trigger.COMMAND).sessions == 0
    assert stored(session_file, session.session_id)[0] == 4
    assert state_of(session) == State.HELD

    lifecycle.release_session(session.session_id, actor=BY)
    assert state_of(session) == State.DUE
    assert cleanup(trigger=Trigger.COMMAND).sessions == 1
    of_sessions = AuditRecord.objects.exclude(session_id="").exclude(result__has_key="failed")
    assert list(of_sessions.values_list("action", flat=True)) == ["release", "hold"]


@BOTH_STORES
def test_a_hold_may_have_an_end(given_session: GivenSession, owner: User) -> None:
    session = given_session(owner)
    lifecycle.hold_session(session.session_id, actor=BY, reason="wait", until=timezone.now() + timedelta(days=1))
    assert cleanup(trigger=Trigger.COMMAND).sessions == 0

    AgentSession.objects.update(held_until=timezone.now() - timedelta(seconds=1))
    assert state_of(session) == State.DUE
    assert cleanup(trigger=Trigger.COMMAND).sessions == 1


@BOTH_STORES
def test_a_hold_that_makes_no_sense_is_refused(given_session: GivenSession, owner: User) -> None:
    session = given_session(owner)
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
    (tried,) = AuditRecord.objects.all()  # what lacks a reason is no attempt
    assert (tried.action, tried.person, tried.result) == (
        "release", str(owner.pk), {"failed": "This session is not held."},
    )  # fmt: skip


@BOTH_STORES
@pytest.mark.parametrize("verb", CHANGING)
@pytest.mark.parametrize("status", [Status.RUNNING, Status.WAITING])
def test_no_verb_meets_a_turn(
    given_session: GivenSession, owner: User, session_file: Path, verb: Callable[..., Any], status: Status
) -> None:
    session = given_session(owner)
    give_turn(session, status)

    with pytest.raises(Conflict, match="turn of this conversation is running"):
        verb(session.session_id, actor=BY)
    assert stored(session_file, session.session_id)[0] == 4
    assert "is running" in AuditRecord.objects.get().result["failed"]


@BOTH_STORES
@pytest.mark.parametrize("verb", [*CHANGING, lifecycle.release_session])
def test_a_session_that_is_not_there_is_not_found(db: None, session_file: Path, verb: Callable[..., Any]) -> None:
    with pytest.raises(NotFound):
        verb("user_x_conv_y", actor=BY)


# With somebody who talks before and after.


async def said(chat: Chat, script: ScriptedModel, text: str) -> list[str]:
    """Say something; return what the model was given of the person's words."""
    script.enqueue([assistant_message(f"Yes, {text}.")])
    await chat.reply(text)
    await chat.settled()
    call = script.last_call
    assert call is not None
    return [item["content"] for item in call.input if item.get("role") == "user"]


@pytest.fixture
def same_file(chat: Chat, settings: Settings) -> str:
    """Let the verbs use the file of the chat; return the session's id."""
    settings.AGENT_SESSION_DB_PATH = chat.session_file
    return str(SessionId(chat.user.pk, chat.conversation_id))


async def test_what_was_cleared_is_never_remembered_again(chat: Chat, script: ScriptedModel, same_file: str) -> None:
    await said(chat, script, "one")
    await in_database(lambda: lifecycle.clear_session(same_file, actor=BY))

    assert await said(chat, script, "two") == ["two"]
    await in_database(lambda: lifecycle.rebuild_session(same_file, actor=BY))
    assert await said(chat, script, "three") == ["two", "three"]


async def test_what_was_expired_is_remembered_from_the_record(
    chat: Chat, script: ScriptedModel, same_file: str
) -> None:
    await said(chat, script, "one")
    await in_database(lambda: lifecycle.expire_session(same_file, actor=BY))

    assert await said(chat, script, "two") == ["one", "two"]


async def test_a_spoilt_session_is_filled_again_and_used_as_it_is(
    chat: Chat, script: ScriptedModel, same_file: str
) -> None:
    await said(chat, script, "one")
    await said(chat, script, "two")
    before = await chat.session()
    ids = [row.id for row in await chat.runner.store.rows(same_file)]
    await chat.runner.store.write(Delete(same_file, ids[1:3]))

    outcome = await in_database(lambda: lifecycle.rebuild_session(same_file, actor=BY))

    assert (outcome.items_before, outcome.items) == (2, 4)
    assert await chat.session() == before
    script.enqueue([assistant_message("Yes.")])
    accepted = await chat.send("three")
    log = await chat.log(accepted.turn)
    assert "warning" not in [entry.event.type for entry in log], "and the next turn finds nothing wrong with it"


async def test_a_session_that_is_ahead_of_the_record_is_filled_again(
    chat: Chat, script: ScriptedModel, same_file: str
) -> None:
    await said(chat, script, "one")
    script.enqueue([assistant_message("Yes.")])
    second = await chat.send("two")
    await chat.log(second.turn)
    await said(chat, script, "three")
    await chat.runner.drain(0)
    await in_database(lambda: accept_edit_of(chat, str(second.message.id)))

    outcome = await in_database(lambda: lifecycle.rebuild_session(same_file, actor=BY))

    assert (outcome.items_before, outcome.items) == (6, 2), "the edit took the place of the other two"


def accept_edit_of(chat: Chat, message_id: str) -> None:
    accept_edit(
        user_id=chat.user.pk,
        conversation_id=chat.conversation_id,
        message_id=uuid.UUID(message_id),
        client_id=uuid.uuid4(),
        text="1",
    )
