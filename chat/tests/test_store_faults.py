"""Conversations continue after any damage to a running server's session file, and memory is restored."""

import asyncio
import shutil

import pytest

from chat.tests.session_file import (
    REBUILT,
    UNAVAILABLE,
    Damage,
    StoredConversation,
    blocked_turns,
    checkpoint,
    corrupt_row,
    delete,
    locked,
    open_conversation,
    overwrite,
    overwrite_with_log,
    path_of,
    stored_conversation,
)

__all__ = ["stored_conversation"]

pytestmark = pytest.mark.service


async def test_file_damaged_with_its_wal_is_rebuilt_from_the_recorded_turns(
    stored_conversation: StoredConversation,
) -> None:
    overwrite_with_log(path_of(stored_conversation.server))

    assert await stored_conversation.say("Add a task to call the bakery") == REBUILT

    await stored_conversation.check_memory()


@pytest.mark.long
async def test_older_copy_of_the_file_is_rebuilt(stored_conversation: StoredConversation) -> None:
    path = path_of(stored_conversation.server)
    checkpoint(path)
    copy = path.with_name("older.db")
    shutil.copyfile(path, copy)
    assert await stored_conversation.say("Add a task to call the bakery") == []
    copy.replace(path)

    assert await stored_conversation.say("Add a task to bake a cake") == REBUILT

    await stored_conversation.check_memory()


async def test_recreated_folder_is_filled_from_the_recorded_turns(stored_conversation: StoredConversation) -> None:
    folder = path_of(stored_conversation.server).parent
    shutil.rmtree(folder)
    assert await stored_conversation.say("Add a task to call the bakery") == UNAVAILABLE
    folder.mkdir()

    assert await stored_conversation.say("Show all my tasks") == REBUILT

    await stored_conversation.check_memory()


async def test_invalid_row_does_not_affect_other_conversations(stored_conversation: StoredConversation) -> None:
    async with open_conversation(stored_conversation.server) as other:
        assert await other.say("Add a task to feed the cat") == []
        corrupt_row(path_of(stored_conversation.server), stored_conversation.session_id, b"\xff\xfe")

        both = await asyncio.gather(stored_conversation.say("Show all my tasks"), other.say("Show all my tasks"))

        assert list(both) == [REBUILT, []]
        await other.check_memory("Add a task to feed the cat")


@pytest.mark.parametrize("damage", [delete, overwrite])
async def test_file_lost_during_a_turn_is_reported_and_rebuilt(
    stored_conversation: StoredConversation, damage: Damage
) -> None:
    with blocked_turns(stored_conversation.server) as wait_until_blocked:
        accepted = await stored_conversation.begin("Add a task to call the bakery")
        wait_until_blocked(1)
        damage(path_of(stored_conversation.server))

    assert await stored_conversation.end(accepted) == UNAVAILABLE
    assert await stored_conversation.say("Show all my tasks") == REBUILT
    await stored_conversation.check_memory()


@pytest.mark.long
async def test_file_lost_while_a_turn_waits_for_its_lock_loses_no_reply(
    stored_conversation: StoredConversation,
) -> None:
    path = path_of(stored_conversation.server)
    async with open_conversation(stored_conversation.server) as other:
        await other.say("Add a task to feed the cat")
        with locked(path):
            waiting = await stored_conversation.begin("Add a task to call the bakery")
            await stored_conversation.socket.until(
                lambda frame: frame["type"] == "turn.started" and frame["turn_id"] == waiting["turn"]["id"]
            )
            await other.socket.pong()
            delete(path)
            await other.say("Add a task to bake a cake")
            await stored_conversation.end(waiting)
        await stored_conversation.say("Show all my tasks")
        await stored_conversation.check_memory()
        await other.check_memory("Add a task to feed the cat")
