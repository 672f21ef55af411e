"""The mirror says of a session what the file has, whatever happened to it: asked by comparing the stores."""

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
from sessions_admin.tests.conftest import give_turn
from sessions_admin.tests.talks import talked

BY = "os:tester"


def differs() -> dict[str, int]:
    return reconcile(repair=False, actor=BY).found


@pytest.mark.parametrize("seed", range(3))
async def test_the_stores_agree_after_whatever_is_done(
    seed: int, chat: Chat, script: ScriptedModel, settings: Settings
) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 6
    path = settings.AGENT_SESSION_DB_PATH = chat.session_file
    session_id = str(SessionId(chat.user.pk, chat.conversation_id))
    said = iter(range(1000))

    async def say() -> None:
        n = next(said)
        script.enqueue([assistant_message(f"reply {n}")])
        await chat.reply(f"message {n}")
        await chat.settled()

    async def say_while_the_store_fails() -> None:
        away = path.parent.with_name("away")
        path.parent.rename(away)
        try:
            await say()
        finally:
            away.rename(path.parent)
        assert set(await in_database(differs)) <= {"behind", "counts", "missing"}, "the store could not be told"
        await say()

    async def edit() -> None:
        turn = await in_database(lambda: Turn.objects.filter(superseded_by=None).order_by("-seq").first())
        assert turn is not None
        n = next(said)
        script.enqueue([assistant_message(f"reply {n}")])
        edited = await chat.edit(turn.prompt_id, f"message {n}")
        await chat.log(edited.turn)
        await chat.settled()

    def verb(function: Callable[..., object]) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            await in_database(lambda: function(session_id, actor=BY))

        return do

    async def prune() -> None:
        await in_database(lambda: lifecycle.prune_session(session_id, actor=BY, limit=2))

    deeds: list[Callable[[], Awaitable[None]]] = [say, say, edit, prune, say_while_the_store_fails]
    deeds += [verb(lifecycle.clear_session), verb(lifecycle.expire_session), verb(lifecycle.rebuild_session)]
    chosen = random.Random(seed)
    await say()
    done = []
    for deed in chosen.sample(deeds, len(deeds)):
        done.append(getattr(deed, "__name__", ""))
        await deed()
        assert await in_database(differs) == {}, done


@pytest.fixture
def pruned(owner: User, session_file: Path) -> AgentSession:
    """A session of six items, four of which pruning took while the mirror was not told yet."""
    session = talked(owner, session_file)
    lifecycle.prune_session(session.session_id, actor=BY, limit=2)
    AgentSession.objects.update(item_count=6, byte_count=600, pruned_count=0)
    return session


def test_pruning_is_told_to_the_mirror(pruned: AgentSession) -> None:
    update_after_pruning(pruned.session_id, before=Size(6, 600), after=Size(2, 200))

    pruned.refresh_from_db()
    assert (pruned.item_count, pruned.byte_count, pruned.pruned_count) == (2, 200, 4)


@pytest.mark.parametrize("verb", [lifecycle.clear_session, lifecycle.expire_session, lifecycle.rebuild_session])
def test_what_staff_did_while_a_session_was_pruned_stays(
    verb: Callable[..., object], pruned: AgentSession, session_file: Path
) -> None:
    verb(pruned.session_id, actor=BY)
    now = AgentSession.objects.values("item_count", "byte_count", "pruned_count", "gone_at").get()

    update_after_pruning(pruned.session_id, before=Size(6, 600), after=Size(2, 200))

    assert AgentSession.objects.values("item_count", "byte_count", "pruned_count", "gone_at").get() == now
    assert differs() == {}


@pytest.mark.parametrize("status", [Status.QUEUED, Status.WAITING])
def test_a_turn_that_is_stopped_before_it_goes_on_counts_as_activity(
    status: Status, owner: User, session_file: Path
) -> None:
    session = talked(owner, session_file)
    turn = give_turn(session, status)

    request_stop(user_id=owner.pk, conversation_id=session.conversation_id, turn_id=turn.pk)

    turn.refresh_from_db()
    session.refresh_from_db()
    assert turn.status == Status.STOPPED
    assert session.last_activity_at == turn.ended_at
    assert differs() == {}
