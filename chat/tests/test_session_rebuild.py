"""A lost or damaged session store is repaired: the conversation continues and its context is rebuilt."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.memory import file_store as store_module
from chat.memory.configured import DATABASE, FILE
from chat.memory.identity import SessionId
from chat.models import AgentSession, Conversation, Quarantined, Turn
from chat.tests import session_file
from chat.tests.conftest import Chat, Gate, StartRunner
from chat.tests.session_file import Damage
from chat.tests.stores import EACH, TRANSACTIONS, corrupt_first_row, delete_all_sessions, insert_rows, sdk_session
from chat.turns.events import Warned
from chat.turns.log import Entry


def session_id(chat: Chat) -> str:
    return str(SessionId(chat.user.pk, chat.conversation_id))


async def items(chat: Chat) -> list[dict[str, Any]]:
    return [dict(row.item) for row in await chat.runner.store.rows(session_id(chat))]


async def run_turn(chat: Chat, script: ScriptedModel, text: str) -> list[str]:
    """Send a message that is answered after a tool call; return the codes of the turn's warnings."""
    title, call_id = f"Task of {text}", f"call_{text}"
    script.extend(
        [[function_call("create_task", {"title": title}, call_id=call_id)], [assistant_message(f"Yes, {text}.")]]
    )
    accepted = await chat.send(text)
    entries: list[Entry] = await chat.follow_to_end(accepted.turn)
    await chat.wait_until_idle()
    return [entry.event.code for entry in entries if isinstance(entry.event, Warned)]


def sent_texts(script: ScriptedModel) -> list[str]:
    """Return the user's texts in the last request to the model."""
    call = script.last_call
    assert call is not None
    return [item["content"] for item in call.input if item.get("role") == "user"]


async def recorded_items(chat: Chat) -> list[dict[str, Any]]:
    turns = await in_database(lambda: list(Turn.objects.order_by("seq").values_list("items", flat=True)))
    return [item for turn in turns for item in turn]


@pytest.mark.parametrize(
    "damage",
    [
        session_file.delete,
        session_file.delete_only_the_file,
        session_file.empty,
        session_file.leave_the_header,
        session_file.halve,
        session_file.overwrite,
        session_file.replace_by_foreign_file,
    ],
)
async def test_lost_or_damaged_file_is_rebuilt_from_the_recorded_turns(
    chat: Chat, script: ScriptedModel, damage: Damage
) -> None:
    assert await run_turn(chat, script, "one") == []
    before = await items(chat)
    damage(chat.session_file)

    assert await run_turn(chat, script, "two") == ["context_rebuilt"]

    assert sent_texts(script) == ["one", "two"]
    assert (await items(chat))[: len(before)] == before, "the items equal those that the SDK had stored"
    assert await items(chat) == await recorded_items(chat)
    assert await run_turn(chat, script, "three") == [], "the warning is shown once"


async def test_corrupt_file_is_kept_and_reported(chat: Chat, script: ScriptedModel) -> None:
    reported: list[Path] = []

    async def report(path: Path) -> None:
        reported.append(path)

    chat.store._on_set_aside = report
    await run_turn(chat, script, "one")
    session_file.overwrite(chat.session_file)
    await run_turn(chat, script, "two")

    assert [path.exists() for path in reported] == [True]
    assert ".corrupt-" in reported[0].name


NOT_ITEMS = ['{"bad', "42", '{"foo": 1}', "[1, 2]", "null", '"text"']
NOT_TEXT = b"\xff\xfe no text at all"  # PostgreSQL rejects this


@pytest.mark.parametrize(
    ("each_store", "data"),
    [
        *((FILE, data) for data in (*NOT_ITEMS, NOT_TEXT)),
        *(pytest.param(DATABASE, data, marks=TRANSACTIONS) for data in NOT_ITEMS),
    ],
    indirect=["each_store"],
    ids=repr,
)
async def test_invalid_row_is_quarantined(
    each_store: str, chat: Chat, script: ScriptedModel, data: str | bytes
) -> None:
    await run_turn(chat, script, "one")
    insert_rows(session_id(chat), data)
    assert await run_turn(chat, script, "two") == [], "an added invalid row leaves the context complete"
    corrupt_first_row(session_id(chat), data)
    assert await run_turn(chat, script, "three") == ["context_rebuilt"]

    assert sent_texts(script) == ["one", "two", "three"]
    assert await items(chat) == await recorded_items(chat)
    content = data if isinstance(data, str) else repr(data)
    kept = await in_database(lambda: list(Quarantined.objects.values_list("session_id", "content", "reason")))
    assert kept == [(session_id(chat), content, "holds no item")] * 2


@EACH
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('{"type": "function_call_output", "call_id": "nobody", "output": ""}', "answers no open call"),
        ('{"type": "function_call", "call_id": "x", "name": "f", "arguments": "{}"}', "is not answered"),
    ],
)
async def test_unpaired_call_or_output_is_quarantined_and_session_rebuilt(
    chat: Chat, script: ScriptedModel, data: str, reason: str
) -> None:
    await run_turn(chat, script, "one")
    insert_rows(session_id(chat), data)

    assert await run_turn(chat, script, "two") == ["context_rebuilt"]

    assert sent_texts(script) == ["one", "two"]
    assert await items(chat) == await recorded_items(chat)
    kept = await in_database(Quarantined.objects.get)
    assert (kept.session_id, kept.reason) == (session_id(chat), reason)


async def test_turn_without_a_session_folder_completes_and_is_remembered_later(
    chat: Chat, script: ScriptedModel, tmp_path: Path
) -> None:
    chat.store.path = tmp_path / "store" / "sessions.db"
    chat.session_file.parent.mkdir()
    await run_turn(chat, script, "one")
    chat.session_file.parent.rename(tmp_path / "away")

    assert await run_turn(chat, script, "two") == ["context_unavailable"]
    assert sent_texts(script) == ["two"]
    (tmp_path / "away").rename(tmp_path / "store")

    assert await run_turn(chat, script, "three") == ["context_rebuilt"]
    assert sent_texts(script) == ["one", "two", "three"]
    assert await items(chat) == await recorded_items(chat)
    assert (await in_database(AgentSession.objects.get)).last_error == ""


async def test_turn_completes_without_writing_while_file_is_locked(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_BUDGET", 0.2)
    await run_turn(chat, script, "one")
    chat.store._lock_budget = 0.2
    other = sqlite3.connect(chat.session_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert await run_turn(chat, script, "two") == ["context_unavailable"]
    assert sent_texts(script) == ["one", "two"], "items read before the lock are the context"
    other.execute("ROLLBACK")
    other.close()

    assert await run_turn(chat, script, "three") == ["context_rebuilt"]
    assert sent_texts(script) == ["one", "two", "three"]
    assert await items(chat) == await recorded_items(chat)


@EACH
async def test_rebuilt_session_excludes_turns_up_to_memory_from(chat: Chat, script: ScriptedModel) -> None:
    for text in ("one", "two"):
        await run_turn(chat, script, text)
    await in_database(lambda: Conversation.objects.update(memory_from=1))
    delete_all_sessions()

    assert await run_turn(chat, script, "three") == ["context_rebuilt"]

    assert sent_texts(script) == ["two", "three"]


@EACH
async def test_lost_session_after_cleared_memory_causes_no_warning(chat: Chat, script: ScriptedModel) -> None:
    await run_turn(chat, script, "one")
    await in_database(lambda: Conversation.objects.update(memory_from=1))
    delete_all_sessions()

    assert await run_turn(chat, script, "two") == []

    assert sent_texts(script) == ["two"]


@EACH
async def test_rebuilt_session_keeps_its_limit(chat: Chat, script: ScriptedModel, settings: Settings) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 10
    for n in range(5):
        await run_turn(chat, script, str(n))
    before = await items(chat)
    delete_all_sessions()

    await run_turn(chat, script, "5")

    assert sent_texts(script) == ["3", "4", "5"]
    call = script.last_call
    assert call is not None
    assert "no longer remembered" in (call.system_instructions or "")
    assert (await items(chat))[: len(before) - 4] == before[4:]
    metadata = await in_database(AgentSession.objects.get)
    assert metadata.pruned_count + metadata.item_count == len(await recorded_items(chat))


@EACH
async def test_session_cleared_by_the_sdk_is_rebuilt(chat: Chat, script: ScriptedModel) -> None:
    await run_turn(chat, script, "one")
    await run_turn(chat, script, "two")
    async with sdk_session(session_id(chat)) as theirs:
        await theirs.clear_session()

    assert await run_turn(chat, script, "three") == ["context_rebuilt"]

    assert sent_texts(script) == ["one", "two", "three"]
    assert await items(chat) == await recorded_items(chat)


@EACH
async def test_retried_turn_rebuilds_a_cleared_session(
    chat: Chat, script: ScriptedModel, start_runner: StartRunner
) -> None:
    await run_turn(chat, script, "one")
    gate = Gate("I am ")
    script.enqueue(gate.step())
    interrupted = await chat.send("two")
    async with asyncio.timeout(15):
        await gate.reached.wait()
    await chat.runner.drain(0)
    async with sdk_session(session_id(chat)) as theirs:
        await theirs.clear_session()
    script.enqueue([assistant_message("here.")])
    later = Chat(await start_runner(script), chat.user, chat.conversation_id)
    await later.follow_to_end(interrupted.turn)

    assert sent_texts(script) == ["one", "two"]
    assert await items(later) == await recorded_items(later)
