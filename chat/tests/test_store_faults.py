"""Whatever happens to the session file of a running server, conversations go on, and memory becomes whole again."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from chat.tests import session_file
from chat.tests.session_file import (
    FIRST,
    REBUILT,
    UNAVAILABLE,
    Damage,
    Talk,
    delete,
    held_up,
    insert_row,
    locked,
    make_noise,
    path_of,
    settle,
    spoil_row,
    talk,
)
from config.tests.support import ServerProcess

pytestmark = pytest.mark.service


@pytest.fixture
async def person(hurt_server: ServerProcess) -> AsyncIterator[Talk]:
    """Somebody who has said two things."""
    async with talk(hurt_server) as person:
        assert await person.say(FIRST) == []
        assert await person.say("Actually, make that due tomorrow") == []
        yield person


@pytest.mark.parametrize(
    "damage",
    [
        session_file.delete,
        session_file.delete_only_the_file,
        session_file.empty,
        session_file.leave_the_header,
        session_file.halve,
        session_file.make_noise,
        session_file.make_noise_everywhere,
        session_file.replace_by_a_stranger,
    ],
)
async def test_a_file_that_is_lost_or_spoilt_is_rebuilt_from_the_record(person: Talk, damage: Damage) -> None:
    damage(path_of(person.server))

    assert await person.say("Add a task to call the bakery") == REBUILT

    await person.remembers()


async def test_an_older_copy_of_the_file_is_brought_up_to_date(person: Talk) -> None:
    path = path_of(person.server)
    settle(path)
    copy = path.with_name("older.db")
    shutil.copyfile(path, copy)
    assert await person.say("Add a task to call the bakery") == []
    copy.replace(path)

    assert await person.say("Add a task to bake a cake") == REBUILT

    await person.remembers()


async def test_without_a_folder_a_conversation_goes_on_and_remembers_once_it_is_back(person: Talk) -> None:
    folder = path_of(person.server).parent
    away = folder.with_name("away")
    folder.rename(away)

    assert await person.say("Add a task to call the bakery") == UNAVAILABLE
    assert await person.say("Add a task to bake a cake") == UNAVAILABLE
    away.rename(folder)

    assert await person.say("Show all my tasks") == REBUILT
    await person.remembers()


async def test_a_folder_that_was_made_anew_is_filled_from_the_record(person: Talk) -> None:
    folder = path_of(person.server).parent
    shutil.rmtree(folder)
    assert await person.say("Add a task to call the bakery") == UNAVAILABLE
    folder.mkdir()

    assert await person.say("Show all my tasks") == REBUILT

    await person.remembers()


BAD_ROWS = ['{"role": "user", "content": ', "42", '{"foo": 1}', "null", '"text"', b"\xff\xfe no text at all"]


@pytest.mark.parametrize("data", BAD_ROWS)
async def test_a_row_that_holds_no_item_is_put_aside_and_its_session_rebuilt(person: Talk, data: str | bytes) -> None:
    spoil_row(path_of(person.server), person.session_id, data)

    assert await person.say("Add a task to call the bakery") == REBUILT

    await person.remembers()
    ((content, reason),) = person.quarantined()
    assert (content, reason) == (data if isinstance(data, str) else repr(data), "holds no item")


@pytest.mark.parametrize("data", BAD_ROWS)
async def test_a_row_too_many_is_put_aside_without_a_word(person: Talk, data: str | bytes) -> None:
    insert_row(path_of(person.server), person.session_id, data)

    assert await person.say("Add a task to call the bakery") == [], "nothing of the memory was lost"

    await person.remembers()
    assert [reason for _, reason in person.quarantined()] == ["holds no item"]


async def test_a_bad_row_is_nothing_to_other_conversations(person: Talk) -> None:
    async with talk(person.server) as other:
        assert await other.say("Add a task to feed the cat") == []
        spoil_row(path_of(person.server), person.session_id, b"\xff\xfe")

        both = await asyncio.gather(person.say("Show all my tasks"), other.say("Show all my tasks"))

        assert list(both) == [REBUILT, []]
        await other.remembers("Add a task to feed the cat")


@pytest.mark.parametrize("damage", [delete, make_noise])
async def test_what_is_lost_in_the_middle_of_a_turn_is_missed(person: Talk, damage: Damage) -> None:
    with held_up(person.server) as until_held_up:
        accepted = await person.begin("Add a task to call the bakery")
        until_held_up(1)
        damage(path_of(person.server))

    assert await person.end(accepted) == UNAVAILABLE
    assert await person.say("Show all my tasks") == REBUILT
    await person.remembers()


async def test_conversations_that_find_the_file_spoilt_together_begin_one_new_file(hurt_server: ServerProcess) -> None:
    path = path_of(hurt_server)
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(talk(hurt_server)) for _ in range(6)]
        await asyncio.gather(*(person.say(FIRST) for person in people))
        for _ in range(4):
            before = set(path.parent.glob("*.corrupt-*[0-9]"))
            make_noise(path)
            await asyncio.gather(*(person.say("Add a task to call the bakery") for person in people))
            assert len(set(path.parent.glob("*.corrupt-*[0-9]")) - before) == 1
        for person in people:
            await person.say("Show all my tasks")
            await person.remembers()


async def test_a_file_that_is_lost_while_a_turn_waits_for_its_lock_costs_no_answer(person: Talk) -> None:
    path = path_of(person.server)
    async with talk(person.server) as other:
        await other.say("Add a task to feed the cat")
        with locked(path):
            waiting = await person.begin("Add a task to call the bakery")
            await person.socket.until(
                lambda frame: frame["type"] == "turn.started" and frame["turn_id"] == waiting["turn"]["id"]
            )
            await other.socket.pong()
            delete(path)
            await other.say("Add a task to bake a cake")
            await person.end(waiting)
        await person.say("Show all my tasks")
        await person.remembers()
        await other.remembers("Add a task to feed the cat")
