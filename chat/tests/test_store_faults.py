"""Conversations continue after any damage to a running server's session file, and memory is restored."""

import asyncio
import shutil

import pytest

from chat.tests.session_file import (
    REBUILT,
    UNAVAILABLE,
    Damage,
    Talk,
    delete,
    held_up,
    locked,
    make_noise,
    make_noise_everywhere,
    path_of,
    person,
    settle,
    spoil_row,
    talk,
)

__all__ = ["person"]

pytestmark = pytest.mark.service


async def test_file_damaged_with_its_wal_is_rebuilt_from_the_recorded_turns(person: Talk) -> None:
    make_noise_everywhere(path_of(person.server))

    assert await person.say("Add a task to call the bakery") == REBUILT

    await person.remembers()


async def test_older_copy_of_the_file_is_rebuilt(person: Talk) -> None:
    path = path_of(person.server)
    settle(path)
    copy = path.with_name("older.db")
    shutil.copyfile(path, copy)
    assert await person.say("Add a task to call the bakery") == []
    copy.replace(path)

    assert await person.say("Add a task to bake a cake") == REBUILT

    await person.remembers()


async def test_recreated_folder_is_filled_from_the_recorded_turns(person: Talk) -> None:
    folder = path_of(person.server).parent
    shutil.rmtree(folder)
    assert await person.say("Add a task to call the bakery") == UNAVAILABLE
    folder.mkdir()

    assert await person.say("Show all my tasks") == REBUILT

    await person.remembers()


async def test_invalid_row_does_not_affect_other_conversations(person: Talk) -> None:
    async with talk(person.server) as other:
        assert await other.say("Add a task to feed the cat") == []
        spoil_row(path_of(person.server), person.session_id, b"\xff\xfe")

        both = await asyncio.gather(person.say("Show all my tasks"), other.say("Show all my tasks"))

        assert list(both) == [REBUILT, []]
        await other.remembers("Add a task to feed the cat")


@pytest.mark.parametrize("damage", [delete, make_noise])
async def test_file_lost_during_a_turn_is_reported_and_rebuilt(person: Talk, damage: Damage) -> None:
    with held_up(person.server) as until_held_up:
        accepted = await person.begin("Add a task to call the bakery")
        until_held_up(1)
        damage(path_of(person.server))

    assert await person.end(accepted) == UNAVAILABLE
    assert await person.say("Show all my tasks") == REBUILT
    await person.remembers()


async def test_file_lost_while_a_turn_waits_for_its_lock_loses_no_reply(person: Talk) -> None:
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
