"""The metadata of a session matches the session store after every operation, as reconcile compares them."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from agents.testing import ScriptedModel, assistant_message
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.memory.metadata import update_after_pruning
from chat.memory.statements import Size
from chat.models import AgentSession, Turn, User
from chat.models.turn import Status
from chat.tests.conftest import Chat
from chat.turns.stop import request_stop
from sessions_admin.sessions import lifecycle
from sessions_admin.stores.reconcile import reconcile
from sessions_admin.tests.conftest import create_turn
from sessions_admin.tests.conversations import make_conversation

BY = "os:tester"


def find_drift() -> dict[str, int]:
    return reconcile(repair=False, actor=BY).found


@pytest.mark.parametrize("seed", range(3))
async def test_metadata_matches_the_store_after_random_operations(
    seed: int, chat: Chat, script: ScriptedModel, settings: Settings
) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 6
    path = settings.AGENT_SESSION_DB_PATH = chat.session_file
    session_id = str(SessionId(chat.user.pk, chat.conversation_id))
    numbers = iter(range(1000))

    async def send() -> None:
        n = next(numbers)
        script.enqueue([assistant_message(f"reply {n}")])
        await chat.reply(f"message {n}")
        await chat.wait_until_idle()

    async def send_while_the_store_fails() -> None:
        away = path.parent.with_name("away")
        path.parent.rename(away)
        try:
            await send()
        finally:
            away.rename(path.parent)
        assert set(await in_database(find_drift)) <= {"behind", "counts", "missing"}, (
            "only kinds of drift that a failed write explains"
        )
        await send()

    async def edit() -> None:
        turn = await in_database(lambda: Turn.objects.filter(superseded_by=None).order_by("-seq").first())
        assert turn is not None
        n = next(numbers)
        script.enqueue([assistant_message(f"reply {n}")])
        edited = await chat.edit(turn.prompt_id, f"message {n}")
        await chat.follow_to_end(edited.turn)
        await chat.wait_until_idle()

    def verb(function: Callable[..., object]) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            await in_database(lambda: function(session_id, actor=BY))

        return do

    async def prune() -> None:
        await in_database(lambda: lifecycle.prune_session(session_id, actor=BY, limit=2))

    operations: list[Callable[[], Awaitable[None]]] = [send, send, edit, prune, send_while_the_store_fails]
    operations += [verb(lifecycle.clear_session), verb(lifecycle.expire_session), verb(lifecycle.rebuild_session)]
    rng = random.Random(seed)
    await send()
    performed = []
    for operation in rng.sample(operations, len(operations)):
        performed.append(getattr(operation, "__name__", ""))
        await operation()
        assert await in_database(find_drift) == {}, performed


@pytest.fixture
def pruned(owner: User, session_file: Path) -> AgentSession:
    """A session after pruning removed four of its six items, with metadata that is not updated yet."""
    session = make_conversation(owner, session_file)
    lifecycle.prune_session(session.session_id, actor=BY, limit=2)
    AgentSession.objects.update(item_count=6, byte_count=600, pruned_count=0)
    return session


def test_pruning_updates_the_metadata(pruned: AgentSession) -> None:
    update_after_pruning(pruned.session_id, before=Size(6, 600), after=Size(2, 200))

    pruned.refresh_from_db()
    assert (pruned.item_count, pruned.byte_count, pruned.pruned_count) == (2, 200, 4)


@pytest.mark.parametrize("verb", [lifecycle.clear_session, lifecycle.expire_session, lifecycle.rebuild_session])
def test_late_metadata_update_after_pruning_keeps_staff_changes(
    verb: Callable[..., object], pruned: AgentSession, session_file: Path
) -> None:
    verb(pruned.session_id, actor=BY)
    now = AgentSession.objects.values("item_count", "byte_count", "pruned_count", "gone_at").get()

    update_after_pruning(pruned.session_id, before=Size(6, 600), after=Size(2, 200))

    assert AgentSession.objects.values("item_count", "byte_count", "pruned_count", "gone_at").get() == now
    assert find_drift() == {}


@pytest.mark.parametrize("status", [Status.QUEUED, Status.WAITING])
def test_stopping_a_queued_or_waiting_turn_counts_as_activity(status: Status, owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    turn = create_turn(session, status)

    request_stop(user_id=owner.pk, conversation_id=session.conversation_id, turn_id=turn.pk)

    turn.refresh_from_db()
    session.refresh_from_db()
    assert turn.status == Status.STOPPED
    assert session.last_activity_at == turn.ended_at
    assert find_drift() == {}
