"""Memory heals itself: whatever happens to the session file, the conversation goes on and is remembered again."""

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
from chat.tests.stores import EACH, TRANSACTIONS, insert_rows, lose, sdk_session, spoil_first_row
from chat.turns.events import Warned
from chat.turns.log import Entry


def session_id(chat: Chat) -> str:
    return str(SessionId(chat.user.pk, chat.conversation_id))


async def items(chat: Chat) -> list[dict[str, Any]]:
    return [dict(row.item) for row in await chat.runner.store.rows(session_id(chat))]


async def say(chat: Chat, script: ScriptedModel, text: str) -> list[str]:
    """Say something that is answered after a tool has acted; return the codes of the warnings seen."""
    title, call_id = f"Task of {text}", f"call_{text}"
    script.extend(
        [[function_call("create_task", {"title": title}, call_id=call_id)], [assistant_message(f"Yes, {text}.")]]
    )
    accepted = await chat.send(text)
    entries: list[Entry] = await chat.log(accepted.turn)
    await chat.settled()
    return [entry.event.code for entry in entries if isinstance(entry.event, Warned)]


def asked(script: ScriptedModel) -> list[str]:
    """What the model was given of the person's words at its last request."""
    call = script.last_call
    assert call is not None
    return [item["content"] for item in call.input if item.get("role") == "user"]


async def recorded(chat: Chat) -> list[dict[str, Any]]:
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
        session_file.make_noise,
        session_file.replace_by_a_stranger,
    ],
)
async def test_a_file_that_was_lost_or_spoilt_is_begun_anew_and_filled_from_the_record(
    chat: Chat, script: ScriptedModel, damage: Damage
) -> None:
    assert await say(chat, script, "one") == []
    before = await items(chat)
    damage(chat.session_file)

    assert await say(chat, script, "two") == ["context_rebuilt"]

    assert asked(script) == ["one", "two"]
    assert (await items(chat))[: len(before)] == before, "item for item what the SDK had stored"
    assert await items(chat) == await recorded(chat)
    assert await say(chat, script, "three") == [], "it is told once"


async def test_a_corrupt_file_is_kept_and_staff_are_told(chat: Chat, script: ScriptedModel) -> None:
    told: list[Path] = []

    async def tell(path: Path) -> None:
        told.append(path)

    chat.store._on_set_aside = tell
    await say(chat, script, "one")
    session_file.make_noise(chat.session_file)
    await say(chat, script, "two")

    assert [path.exists() for path in told] == [True]
    assert ".corrupt-" in told[0].name


NO_ITEMS = ['{"bad', "42", '{"foo": 1}', "[1, 2]", "null", '"text"']
NO_TEXT = b"\xff\xfe no text at all"  # which PostgreSQL refuses


@pytest.mark.parametrize(
    ("each_store", "data"),
    [
        *((FILE, data) for data in (*NO_ITEMS, NO_TEXT)),
        *(pytest.param(DATABASE, data, marks=TRANSACTIONS) for data in NO_ITEMS),
    ],
    indirect=["each_store"],
    ids=repr,
)
async def test_a_row_that_holds_no_item_is_kept_for_staff(
    each_store: str, chat: Chat, script: ScriptedModel, data: str | bytes
) -> None:
    await say(chat, script, "one")
    insert_rows(session_id(chat), data)
    assert await say(chat, script, "two") == [], "what held nothing is nothing that the assistant could miss"
    spoil_first_row(session_id(chat), data)
    assert await say(chat, script, "three") == ["context_rebuilt"]

    assert asked(script) == ["one", "two", "three"]
    assert await items(chat) == await recorded(chat)
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
async def test_a_row_that_no_model_would_take_is_kept_for_staff_and_the_session_rebuilt(
    chat: Chat, script: ScriptedModel, data: str, reason: str
) -> None:
    await say(chat, script, "one")
    insert_rows(session_id(chat), data)

    assert await say(chat, script, "two") == ["context_rebuilt"]

    assert asked(script) == ["one", "two"]
    assert await items(chat) == await recorded(chat)
    kept = await in_database(Quarantined.objects.get)
    assert (kept.session_id, kept.reason) == (session_id(chat), reason)


async def test_without_a_folder_the_turn_goes_on_and_is_remembered_once_it_is_back(
    chat: Chat, script: ScriptedModel, tmp_path: Path
) -> None:
    chat.store.path = tmp_path / "store" / "sessions.db"
    chat.session_file.parent.mkdir()
    await say(chat, script, "one")
    chat.session_file.parent.rename(tmp_path / "away")

    assert await say(chat, script, "two") == ["context_unavailable"]
    assert asked(script) == ["two"]
    (tmp_path / "away").rename(tmp_path / "store")

    assert await say(chat, script, "three") == ["context_rebuilt"]
    assert asked(script) == ["one", "two", "three"]
    assert await items(chat) == await recorded(chat)
    assert (await in_database(AgentSession.objects.get)).last_error == ""


async def test_while_another_process_holds_the_lock_turns_go_on_without_writing(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_BUDGET", 0.2)
    await say(chat, script, "one")
    chat.store._lock_budget = 0.2
    other = sqlite3.connect(chat.session_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert await say(chat, script, "two") == ["context_unavailable"]
    assert asked(script) == ["one", "two"], "what was read before is context"
    other.execute("ROLLBACK")
    other.close()

    assert await say(chat, script, "three") == ["context_rebuilt"]
    assert asked(script) == ["one", "two", "three"]
    assert await items(chat) == await recorded(chat)


@EACH
async def test_nothing_behind_memory_from_comes_back(chat: Chat, script: ScriptedModel) -> None:
    for text in ("one", "two"):
        await say(chat, script, text)
    await in_database(lambda: Conversation.objects.update(memory_from=1))
    lose()

    assert await say(chat, script, "three") == ["context_rebuilt"]

    assert asked(script) == ["two", "three"]


@EACH
async def test_a_cleared_memory_begins_fresh_without_a_word(chat: Chat, script: ScriptedModel) -> None:
    await say(chat, script, "one")
    await in_database(lambda: Conversation.objects.update(memory_from=1))
    lose()

    assert await say(chat, script, "two") == []

    assert asked(script) == ["two"]


@EACH
async def test_a_rebuilt_session_keeps_its_limit(chat: Chat, script: ScriptedModel, settings: Settings) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 10
    for n in range(5):
        await say(chat, script, str(n))
    before = await items(chat)
    lose()

    await say(chat, script, "5")

    assert asked(script) == ["3", "4", "5"]
    call = script.last_call
    assert call is not None
    assert "no longer remembered" in (call.system_instructions or "")
    assert (await items(chat))[: len(before) - 4] == before[4:]
    mirror = await in_database(AgentSession.objects.get)
    assert mirror.pruned_count + mirror.item_count == len(await recorded(chat))


@EACH
async def test_a_session_that_the_sdk_cleared_is_filled_again(chat: Chat, script: ScriptedModel) -> None:
    await say(chat, script, "one")
    await say(chat, script, "two")
    async with sdk_session(session_id(chat)) as theirs:
        await theirs.clear_session()

    assert await say(chat, script, "three") == ["context_rebuilt"]

    assert asked(script) == ["one", "two", "three"]
    assert await items(chat) == await recorded(chat)


@EACH
async def test_a_turn_that_is_tried_again_after_its_session_was_cleared_remembers(
    chat: Chat, script: ScriptedModel, start_runner: StartRunner
) -> None:
    await say(chat, script, "one")
    gate = Gate("I am ")
    script.enqueue(gate.step())
    cut_off = await chat.send("two")
    async with asyncio.timeout(15):
        await gate.reached.wait()
    await chat.runner.drain(0)
    async with sdk_session(session_id(chat)) as theirs:
        await theirs.clear_session()
    script.enqueue([assistant_message("here.")])
    later = Chat(await start_runner(script), chat.user, chat.conversation_id)
    await later.log(cut_off.turn)

    assert asked(script) == ["one", "two"]
    assert await items(later) == await recorded(later)
