"""No staff action, turn or repair loses an item of a held session, whichever program wrote the item."""

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
SDK_ITEMS = [
    cast(TResponseInputItem, {"role": role, "content": f"{role} wrote {n} elsewhere"})
    for n in range(10)
    for role in ("user", "assistant")
]


class HeldSession:
    """A held session of three turns, with or without items that the SDK's own class wrote before the first turn."""

    def __init__(self, chat: Chat, script: ScriptedModel, path: Path) -> None:
        self.chat = chat
        self.script = script
        self.path = path
        self.session_id = str(SessionId(chat.user.pk, chat.conversation_id))

    async def say(self, text: str) -> None:
        """Send a message and wait for the reply."""
        self.script.enqueue([assistant_message(f"reply to {text}")])
        await self.chat.run_turn(text)
        await self.chat.wait_until_idle()

    async def attempt(self, verb: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call a function in a database thread; it may refuse."""
        with suppress(Conflict, NotFound):
            await in_database(verb, *args, **kwargs)

    def all_items(self) -> Counter[str]:
        """Return all items of the session that staff can see."""
        inspection = inspect(self.session_id, actor=BY, reason="a test")
        entries = [*inspection.memory.stored, *inspection.memory.given]
        entries += [entry for turn in inspection.journal for entry in turn.items]
        entries += [entry for adoption in inspection.adopted for entry in adoption.items]
        contents = [json.dumps(entry.item, sort_keys=True) for entry in entries]
        return Counter(set(contents) | {row.content for row in inspection.quarantine})

    def change_file(self, statement: str, *values: object) -> None:
        """Change the session file by an SQL statement."""
        sql(self.path, statement, *values)


Remover = Callable[[HeldSession], Awaitable[object]]
REMOVERS: dict[str, Remover] = {}


def remover(function: Remover) -> Remover:
    """Add a function that could remove items to the table."""
    REMOVERS[function.__name__.replace("_", " ")] = function
    return function


def after_retention(run: Callable[[], object]) -> Callable[[], None]:
    """Return a call of the function at a time after the retention of the session."""

    def later() -> None:
        with time_machine.travel(timezone.now() + timedelta(days=30)):
            run()

    return later


# Retention.


@remover
async def scheduled_clean_up(held: HeldSession) -> None:
    await held.attempt(after_retention(lambda: cleanup(trigger="schedule")))


@remover
async def clean_up_of_all_idle_sessions(held: HeldSession) -> None:
    await held.attempt(cleanup, trigger="command", older_than=timedelta(0))


# Staff actions on a session.


@remover
async def expire(held: HeldSession) -> None:
    await held.attempt(lifecycle.expire_session, held.session_id, actor=BY)


@remover
async def clear(held: HeldSession) -> None:
    await held.attempt(lifecycle.clear_session, held.session_id, actor=BY)


@remover
async def prune(held: HeldSession) -> None:
    await held.attempt(lifecycle.prune_session, held.session_id, actor=BY, limit=2)


@remover
async def rebuild(held: HeldSession) -> None:
    await held.attempt(lifecycle.rebuild_session, held.session_id, actor=BY)


@remover
async def repair_of_a_sound_session(held: HeldSession) -> None:
    await held.attempt(reconcile, repair=True, actor=BY, reason="x")


@remover
async def repair_of_a_bad_row(held: HeldSession) -> None:
    held.change_file("INSERT INTO agent_messages (session_id, message_data) VALUES (?, 'no')", held.session_id)
    await held.attempt(reconcile, repair=True, actor=BY, reason="x")


@remover
async def a_turn_after_a_bad_row(held: HeldSession) -> None:
    held.change_file("INSERT INTO agent_messages (session_id, message_data) VALUES (?, 'no')", held.session_id)
    await held.say("Go on")


@remover
async def rows_of_another_program_and_a_rebuild(held: HeldSession) -> None:
    session = SQLiteSession(held.session_id, held.path)
    await session.add_items([{"role": "user", "content": "in between"}])
    session.close()
    assert any("in between" in item for item in await in_database(held.all_items))
    await held.attempt(lifecycle.rebuild_session, held.session_id, actor=BY)
    assert any("in between" in item for item in await in_database(held.all_items))


# Actions of the user.


@remover
async def an_earlier_message_edited(held: HeldSession) -> None:
    first = await in_database(lambda: Message.objects.filter(position=1).get())
    held.script.enqueue([assistant_message("otherwise")])
    await held.chat.edit(first.pk, "Something else")
    await held.chat.wait_until_idle()


@remover
async def the_reply_regenerated(held: HeldSession) -> None:
    newest = await in_database(lambda: Turn.objects.order_by("-seq").select_related("user")[0])
    held.script.enqueue([assistant_message("anew")])
    await held.chat.retry(newest)
    await held.chat.wait_until_idle()


@remover
async def the_reply_regenerated_after_rows_of_another_program(held: HeldSession) -> None:
    session = SQLiteSession(held.session_id, held.path)
    await session.add_items([{"role": "user", "content": "after the reply"}])
    session.close()
    await the_reply_regenerated(held)
    assert any("after the reply" in item for item in await in_database(held.all_items))


@remover
async def the_same_message_again(held: HeldSession) -> None:
    held.script.enqueue(ModelStep.raise_error(ValueError("no answer")))
    await held.chat.run_turn("Fourth")
    await held.say("Fourth")
    await held.say("Fifth")
    assert await in_database(lambda: AgentSession.objects.get().last_error) == "", "no item is in quarantine"


@remover
async def trash_and_delete_for_good(held: HeldSession) -> None:
    target = {"user_id": held.chat.user.pk, "conversation_id": held.chat.conversation_id}
    await held.attempt(conversations.trash, **target)
    await held.attempt(conversations.purge, **target)
    await held.attempt(conversations.empty_trash, user_id=held.chat.user.pk)


@remover
async def trash_and_retention(held: HeldSession) -> None:
    await held.attempt(conversations.trash, user_id=held.chat.user.pk, conversation_id=held.chat.conversation_id)

    def a_year_later() -> None:
        with time_machine.travel(timezone.now() + timedelta(days=400)):
            cleanup(trigger="schedule")

    await held.attempt(a_year_later)


@remover
async def own_account_deleted(held: HeldSession) -> None:
    await held.attempt(erase_person, held.chat.user.pk, actor=user_actor(held.chat.user), reason="own wish")


# Staff actions on a user.


@remover
async def user_erased(held: HeldSession) -> None:
    await held.attempt(erase_person, held.chat.user.pk, actor=BY, reason="a request")


@remover
async def user_deactivated(held: HeldSession) -> None:
    await held.attempt(deactivate_person, held.chat.user.pk, actor=BY, reason="left")


# Damage to the file.


@remover
async def file_lost(held: HeldSession) -> None:
    held.path.unlink()
    await held.say("Go on")


@remover
async def file_replaced(held: HeldSession) -> None:
    await held.chat.runner.store.close()
    held.path.unlink()
    session = SQLiteSession(held.session_id, held.path)
    await session.add_items([{"role": "user", "content": "of another file"}])
    session.close()
    held.chat.runner.store = FileStore(held.path)
    await held.say("Go on")
    assert any("of another file" in item for item in await in_database(held.all_items))


@remover
async def file_corrupt(held: HeldSession) -> None:
    held.path.write_bytes(b"no database" * 1000)
    await held.say("Go on")


@remover
async def backup_and_restore(held: HeldSession) -> None:
    copy = held.path.with_name("copy.zip")
    await held.attempt(backup, copy, actor=BY)
    await held.chat.runner.store.close()
    held.path.unlink()
    await held.attempt(restore, copy, actor=BY, force=True)


@pytest.fixture
async def held(chat: Chat, script: ScriptedModel, settings: Settings, request: pytest.FixtureRequest) -> HeldSession:
    """A conversation of three turns with a held session."""
    settings.AGENT_SESSION_DB_PATH = path = chat.session_file
    held = HeldSession(chat, script, path)
    if request.param:
        session = SQLiteSession(held.session_id, path)
        await session.add_items(SDK_ITEMS)
        session.close()
    for text in ("First", "Second", "Third"):
        await held.say(text)
    await held.attempt(lifecycle.hold_session, held.session_id, actor=BY, reason="a case")
    return held


# A session with items of the SDK also has items of this product.
HELD = [pytest.param(False, marks=pytest.mark.long, id="ours"), pytest.param(True, id="with items of the SDK")]


@pytest.mark.parametrize("held", HELD, indirect=True)
@pytest.mark.parametrize("name", REMOVERS)
async def test_held_session_loses_no_items(held: HeldSession, name: str) -> None:
    before = await in_database(held.all_items)
    assert len(before) >= 6

    await REMOVERS[name](held)
    await held.chat.wait_until_idle()

    assert before - await in_database(held.all_items) == Counter()
