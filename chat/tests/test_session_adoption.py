"""Sessions written by the SDK's own classes are adopted, as docs/how-to/import-agents-sdk-sessions.md describes."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from agents import SQLiteSession, TResponseInputItem
from agents.extensions.memory import AdvancedSQLiteSession, AsyncSQLiteSession, EncryptedSession
from agents.testing import ModelStep, ScriptedModel, assistant_message

from chat.infra.db_threads import in_database
from chat.memory.file_store import FileStore
from chat.memory.identity import SessionId
from chat.memory.open import SessionContext, open_session
from chat.memory.pruning import prune
from chat.memory.rebuild import LastTurn
from chat.memory.session import AgentSessionMemory
from chat.memory.statements import Append, Fence, Seal
from chat.memory.sync_file import opened_to_read
from chat.models import AdoptedItems, Quarantined, Turn
from chat.tests.conftest import Chat
from chat.tests.stores import EACH, add_items_with_sdk, direct_access

KEY = "HcVwzqHqU0Z1yUqj8mCpzVxXqvRCyoF0pY0cUqcWgU8="


def user_item(text: str) -> TResponseInputItem:
    return {"role": "user", "content": text}


HISTORY = [
    user_item("Remind me to call Ada."),
    cast(TResponseInputItem, {"type": "function_call", "call_id": "c1", "name": "create_task", "arguments": "{}"}),
    cast(TResponseInputItem, {"type": "function_call_output", "call_id": "c1", "output": "added"}),
    cast(TResponseInputItem, {"role": "assistant", "content": "I shall – “Ada”."}),
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    opened = FileStore(tmp_path / "sessions.db")
    yield opened
    await opened.close()


async def write_with_sqlite(path: Path, session_id: str, items: list[TResponseInputItem]) -> None:
    session = SQLiteSession(session_id, path)
    await session.add_items(items)
    session.close()


async def write_with_async_sqlite(path: Path, session_id: str, items: list[TResponseInputItem]) -> None:
    session = AsyncSQLiteSession(session_id, path)
    await session.add_items(items)
    await session.close()


async def write_with_advanced_sqlite(path: Path, session_id: str, items: list[TResponseInputItem]) -> None:
    session = AdvancedSQLiteSession(session_id=session_id, db_path=path, create_tables=True)
    await session.add_items(items)
    session.close()


async def items(store: FileStore, session_id: str) -> list[TResponseInputItem]:
    return await AgentSessionMemory(session_id, store).get_items()


def count_structure_rows(path: Path) -> int:
    """Count the rows of the table that AdvancedSQLiteSession keeps beside the items."""
    with closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM message_structure").fetchone()[0]
    return count


@pytest.mark.parametrize("write_items", [write_with_sqlite, write_with_async_sqlite, write_with_advanced_sqlite])
async def test_session_file_of_the_sdk_is_read_and_extended(
    store: FileStore, write_items: Callable[[Path, str, list[TResponseInputItem]], Awaitable[None]]
) -> None:
    await write_items(store.path, "a", HISTORY)
    await write_items(store.path, "b", [user_item("another")])

    assert await items(store, "a") == HISTORY
    await AgentSessionMemory("a", store).add_items([user_item("ours")])
    await write_items(store.path, "a", [user_item("theirs")])

    assert await items(store, "a") == [*HISTORY, user_item("ours"), user_item("theirs")]
    assert await items(store, "b") == [user_item("another")]


@EACH
async def test_new_conversation_remembers_an_existing_session_with_its_id(chat: Chat, script: ScriptedModel) -> None:
    await add_items_with_sdk(str(SessionId(chat.user.pk, chat.conversation_id)), HISTORY)
    script.extend([[assistant_message("Ada.")], [assistant_message("Gladly.")]])

    await chat.reply("Whom was I to call?")
    await chat.wait_until_idle()
    await chat.reply("Thanks")

    assert script.last_call is not None
    given = [item.get("content") for item in script.last_call.input if item.get("role") == "user"]
    assert given == ["Remind me to call Ada.", "Whom was I to call?", "Thanks"]


@pytest.mark.parametrize("write_items", [write_with_sqlite, write_with_async_sqlite, write_with_advanced_sqlite])
async def test_adopted_items_survive_a_damaged_row_and_a_lost_file(
    chat: Chat, script: ScriptedModel, write_items: Callable[[Path, str, list[TResponseInputItem]], Awaitable[None]]
) -> None:
    path, session_id = chat.session_file, str(SessionId(chat.user.pk, chat.conversation_id))
    script.extend([[assistant_message(f"Reply {n}.")] for n in range(1, 5)])
    await write_items(path, session_id, HISTORY)
    await chat.reply("One")
    await chat.wait_until_idle()
    await write_items(path, session_id, [user_item("Between")])
    await chat.reply("Two")
    await chat.wait_until_idle()

    with closing(sqlite3.connect(path)) as connection, connection:
        broken = "UPDATE agent_messages SET message_data = 'broken' WHERE id = (SELECT min(id) FROM agent_messages)"
        connection.execute(broken)
    await chat.reply("Three")
    await chat.wait_until_idle()
    path.unlink()
    await chat.reply("Four")

    for call in script.calls[-2:]:
        given = [item.get("content") for item in call.input if item.get("role") == "user"]
        assert given[:4] == ["Remind me to call Ada.", "One", "Between", "Two"]


@EACH
async def test_items_written_during_a_crashed_turn_are_quarantined(chat: Chat, script: ScriptedModel) -> None:
    store, session_id = chat.runner.store, str(SessionId(chat.user.pk, chat.conversation_id))
    script.extend([[assistant_message("Reply 1.")]])
    await chat.reply("One")
    await chat.wait_until_idle()
    before = await chat.session()
    last = (await store.read(session_id)).last
    assert last is not None
    await store.write(Append(session_id, Fence(last.turn + 1, 1), [{"role": "user", "content": "Two"}]))
    await add_items_with_sdk(session_id, [user_item("Meanwhile")])

    fence = Fence(last.turn + 1, 2)
    context = SessionContext(
        session_id=session_id,
        conversation_id=chat.conversation_id,
        fence=fence,
        replaces=None,
        last=LastTurn(last, is_missing=False),
    )
    opened = await open_session(store, context)

    assert opened.items == before
    kept = await in_database(lambda: list(Quarantined.objects.values_list("content", flat=True)))
    assert any("Meanwhile" in content for content in kept)


@EACH
async def test_session_without_digests_is_adopted_unchanged(chat: Chat, script: ScriptedModel) -> None:
    session_id = str(SessionId(chat.user.pk, chat.conversation_id))
    script.extend([[assistant_message(f"Reply {n}.")] for n in range(1, 4)])
    await add_items_with_sdk(session_id, HISTORY)
    await chat.reply("One")
    await chat.wait_until_idle()
    await in_database(lambda: AdoptedItems.objects.all().delete())
    with direct_access() as other:
        other.execute("DELETE FROM threadkeeper_digests")
    before = await chat.session()

    await chat.reply("Two")
    await chat.wait_until_idle()

    assert (await chat.session())[: len(before)] == before
    (adopted,) = await in_database(lambda: list(AdoptedItems.objects.values_list("after_turn", "items")))
    assert (adopted[0], json.loads(adopted[1])) == (0, HISTORY)
    assert await in_database(lambda: [turn.warning for turn in Turn.objects.all()]) == ["", ""]


def test_file_without_threadkeeper_tables_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    asyncio.run(write_with_sqlite(path, "a", HISTORY))
    with opened_to_read(path) as file:
        assert file.load(["a"])["a"].stored.items == HISTORY


@EACH
async def test_repeated_message_after_a_failed_turn_is_not_quarantined(chat: Chat, script: ScriptedModel) -> None:
    session_id = str(SessionId(chat.user.pk, chat.conversation_id))
    await add_items_with_sdk(session_id, HISTORY)
    script.extend(
        [ModelStep.raise_error(ValueError("no answer")), [assistant_message("Yes.")], [assistant_message("Good.")]]
    )

    for text in ("Hello?", "Hello?", "Thanks"):
        await chat.run_turn(text)
        await chat.wait_until_idle()

    assert script.last_call is not None
    given = [item.get("content") for item in script.last_call.input if item.get("role") == "user"]
    assert given == ["Remind me to call Ada.", "Hello?", "Hello?", "Thanks"]
    assert not await in_database(Quarantined.objects.exists)


async def test_encrypted_rows_are_quarantined_and_stay_encrypted(chat: Chat, script: ScriptedModel) -> None:
    session_id = str(SessionId(chat.user.pk, chat.conversation_id))
    plain = SQLiteSession(session_id, chat.session_file)
    await EncryptedSession(session_id, plain, KEY).add_items(HISTORY)
    plain.close()
    assert await items(chat.store, session_id) == []
    script.extend([[assistant_message("Hello.")]])

    await chat.reply("Hi")

    kept = await in_database(lambda: list(Quarantined.objects.filter(session_id=session_id)))
    assert [row.reason for row in kept] == ["holds no item"] * len(HISTORY)
    assert all("__enc__" in row.content and "Ada" not in row.content for row in kept)
    assert [item.get("content") for item in (await items(chat.store, session_id))[:1]] == ["Hi"]


async def test_removing_items_removes_their_message_structure_rows(store: FileStore) -> None:
    await write_with_advanced_sqlite(store.path, "a", [user_item(str(n)) for n in range(6)])
    assert count_structure_rows(store.path) == 6

    await store.write(Seal("a", (await store.read("a")).digest))
    await prune(store, "a", limit=4)
    assert count_structure_rows(store.path) == 4
    await AgentSessionMemory("a", store).clear_session()

    assert count_structure_rows(store.path) == 0
