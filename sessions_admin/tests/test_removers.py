"""Nothing that a verb, a turn or a repair does to a held session loses an item, whoever wrote it."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
import time_machine
from agents import SQLiteSession, TResponseInputItem
from agents.testing import ModelStep, ScriptedModel, assistant_message
from django.utils import timezone
from pytest_django import Settings

from chat.conversations import services as conversations
from chat.exceptions import Conflict, NotFound
from chat.infra.db_threads import in_database
from chat.memory.file_store import FileStore
from chat.memory.identity import SessionId
from chat.models import AgentSession, Message, Turn
from chat.tests.conftest import Chat
from sessions_admin.audit import user_actor
from sessions_admin.people.accounts import deactivate_person
from sessions_admin.people.erase import erase_person
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.sessions import lifecycle
from sessions_admin.sessions.inspection import inspect
from sessions_admin.stores.backup import backup
from sessions_admin.stores.reconcile import reconcile
from sessions_admin.stores.restore import restore
from sessions_admin.tests.conftest import sql

pytestmark = pytest.mark.django_db(transaction=True)

BY = "os:tester"
THEIRS = [
    cast(TResponseInputItem, {"role": role, "content": f"{role} wrote {n} elsewhere"})
    for n in range(10)
    for role in ("user", "assistant")
]


class Held:
    """A held session of three turns, with or without what the SDK's own class had written before the first."""

    def __init__(self, chat: Chat, script: ScriptedModel, path: Path) -> None:
        self.chat = chat
        self.script = script
        self.path = path
        self.session_id = str(SessionId(chat.user.pk, chat.conversation_id))

    async def say(self, text: str) -> None:
        """Send a message that is answered."""
        self.script.enqueue([assistant_message(f"reply to {text}")])
        await self.chat.say(text)
        await self.chat.settled()

    async def do(self, verb: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Do something with the database; a refusal is as good."""
        with suppress(Conflict, NotFound):
            await in_database(verb, *args, **kwargs)

    def everything(self) -> Counter[str]:
        """Return all items that staff find of the session."""
        seen = inspect(self.session_id, actor=BY, reason="a test")
        there = [*seen.memory.stored, *seen.memory.given]
        there += [entry for turn in seen.journal for entry in turn.items]
        there += [entry for few in seen.adopted for entry in few.items]
        kept = [json.dumps(entry.item, sort_keys=True) for entry in there]
        return Counter(set(kept) | {row.content for row in seen.quarantine})

    def hurt(self, statement: str, *values: object) -> None:
        """Change the file by hand."""
        sql(self.path, statement, *values)


Remover = Callable[[Held], Awaitable[object]]
REMOVERS: dict[str, Remover] = {}


def remover(function: Remover) -> Remover:
    """Put something that removes into the table."""
    REMOVERS[function.__name__.replace("_", " ")] = function
    return function


def old(run: Callable[[], object]) -> Callable[[], None]:
    """Do it when the session has been silent for too long."""

    def later() -> None:
        with time_machine.travel(timezone.now() + timedelta(days=30)):
            run()

    return later


# Retention.


@remover
async def scheduled_clean_up(held: Held) -> None:
    await held.do(old(lambda: cleanup(trigger="schedule")))


@remover
async def clean_up_of_all_that_is_silent(held: Held) -> None:
    await held.do(cleanup, trigger="command", older_than=timedelta(0))


# What staff do to a session.


@remover
async def expire(held: Held) -> None:
    await held.do(lifecycle.expire_session, held.session_id, actor=BY)


@remover
async def clear(held: Held) -> None:
    await held.do(lifecycle.clear_session, held.session_id, actor=BY)


@remover
async def prune(held: Held) -> None:
    await held.do(lifecycle.prune_session, held.session_id, actor=BY, limit=2)


@remover
async def rebuild(held: Held) -> None:
    await held.do(lifecycle.rebuild_session, held.session_id, actor=BY)


@remover
async def repair_of_a_sound_session(held: Held) -> None:
    await held.do(reconcile, repair=True, actor=BY, reason="x")


@remover
async def repair_of_a_bad_row(held: Held) -> None:
    held.hurt("INSERT INTO agent_messages (session_id, message_data) VALUES (?, 'no')", held.session_id)
    await held.do(reconcile, repair=True, actor=BY, reason="x")


@remover
async def a_turn_after_a_bad_row(held: Held) -> None:
    held.hurt("INSERT INTO agent_messages (session_id, message_data) VALUES (?, 'no')", held.session_id)
    await held.say("Go on")


@remover
async def rows_of_another_program_and_a_rebuild(held: Held) -> None:
    session = SQLiteSession(held.session_id, held.path)
    await session.add_items([{"role": "user", "content": "in between"}])
    session.close()
    assert any("in between" in item for item in await in_database(held.everything))
    await held.do(lifecycle.rebuild_session, held.session_id, actor=BY)
    assert any("in between" in item for item in await in_database(held.everything))


# What its person does.


@remover
async def an_earlier_message_edited(held: Held) -> None:
    first = await in_database(lambda: Message.objects.filter(position=1).get())
    held.script.enqueue([assistant_message("otherwise")])
    await held.chat.edit(first.pk, "Something else")
    await held.chat.settled()


@remover
async def the_reply_regenerated(held: Held) -> None:
    newest = await in_database(lambda: Turn.objects.order_by("-seq").select_related("user")[0])
    held.script.enqueue([assistant_message("anew")])
    await held.chat.retry(newest)
    await held.chat.settled()


@remover
async def the_reply_regenerated_after_rows_of_another_program(held: Held) -> None:
    session = SQLiteSession(held.session_id, held.path)
    await session.add_items([{"role": "user", "content": "after the reply"}])
    session.close()
    await the_reply_regenerated(held)
    assert any("after the reply" in item for item in await in_database(held.everything))


@remover
async def the_same_message_again(held: Held) -> None:
    held.script.enqueue(ModelStep.raise_error(ValueError("no answer")))
    await held.chat.say("Fourth")
    await held.say("Fourth")
    await held.say("Fifth")
    assert await in_database(lambda: AgentSession.objects.get().last_error) == "", "nothing of it is in quarantine"


@remover
async def trash_and_delete_for_good(held: Held) -> None:
    where = {"user_id": held.chat.user.pk, "conversation_id": held.chat.conversation_id}
    await held.do(conversations.trash, **where)
    await held.do(conversations.purge, **where)
    await held.do(conversations.empty_trash, user_id=held.chat.user.pk)


@remover
async def trash_and_retention(held: Held) -> None:
    await held.do(conversations.trash, user_id=held.chat.user.pk, conversation_id=held.chat.conversation_id)

    def a_year_later() -> None:
        with time_machine.travel(timezone.now() + timedelta(days=400)):
            cleanup(trigger="schedule")

    await held.do(a_year_later)


@remover
async def own_account_deleted(held: Held) -> None:
    await held.do(erase_person, held.chat.user.pk, actor=user_actor(held.chat.user), reason="own wish")


# What staff do to a person.


@remover
async def person_erased(held: Held) -> None:
    await held.do(erase_person, held.chat.user.pk, actor=BY, reason="a request")


@remover
async def person_deactivated(held: Held) -> None:
    await held.do(deactivate_person, held.chat.user.pk, actor=BY, reason="left")


# What happens to the file.


@remover
async def file_lost(held: Held) -> None:
    held.path.unlink()
    await held.say("Go on")


@remover
async def file_replaced(held: Held) -> None:
    await held.chat.runner.store.close()
    held.path.unlink()
    session = SQLiteSession(held.session_id, held.path)
    await session.add_items([{"role": "user", "content": "of another file"}])
    session.close()
    held.chat.runner.store = FileStore(held.path)
    await held.say("Go on")
    assert any("of another file" in item for item in await in_database(held.everything))


@remover
async def file_corrupt(held: Held) -> None:
    held.path.write_bytes(b"no database" * 1000)
    await held.say("Go on")


@remover
async def backup_and_restore(held: Held) -> None:
    copy = held.path.with_name("copy.zip")
    await held.do(backup, copy, actor=BY)
    await held.chat.runner.store.close()
    held.path.unlink()
    await held.do(restore, copy, actor=BY, force=True)


@pytest.fixture
async def held(chat: Chat, script: ScriptedModel, settings: Settings, request: pytest.FixtureRequest) -> Held:
    """A conversation of three turns, whose session is held."""
    settings.AGENT_SESSION_DB_PATH = path = chat.session_file
    held = Held(chat, script, path)
    if request.param:
        session = SQLiteSession(held.session_id, path)
        await session.add_items(THEIRS)
        session.close()
    for text in ("First", "Second", "Third"):
        await held.say(text)
    await held.do(lifecycle.hold_session, held.session_id, actor=BY, reason="a case")
    return held


# What has items of the SDK has ours, too.
HELD = [pytest.param(False, marks=pytest.mark.long, id="ours"), pytest.param(True, id="with items of the SDK")]


@pytest.mark.parametrize("held", HELD, indirect=True)
@pytest.mark.parametrize("name", REMOVERS)
async def test_nothing_of_a_held_session_is_lost(held: Held, name: str) -> None:
    before = await in_database(held.everything)
    assert len(before) >= 6

    await REMOVERS[name](held)
    await held.chat.settled()

    assert before - await in_database(held.everything) == Counter()
