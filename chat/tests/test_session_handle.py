"""A handle on a session does what the SDK's own sessions do.

Their tests run against it too (benchmarks/sdk_session_tests.py); here is what those of them mean that look into the
SDK's own connections.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import cast

import pytest
from agents import SessionSettings, TResponseInputItem

from chat.exceptions import MemoryUnavailable
from chat.memory.configured import FILE, session_store
from chat.memory.session import AgentSessionMemory
from chat.memory.store import SessionStore
from chat.tests.stores import insert_rows, locked, outside

OPERATIONS = ["add", "pop", "clear"]


@pytest.fixture
async def store(each_store: str) -> AsyncIterator[SessionStore]:
    opened = session_store()
    yield opened
    await opened.close()


@pytest.fixture
def handle(store: SessionStore) -> AgentSessionMemory:
    return AgentSessionMemory("a", store)


def said(text: str) -> TResponseInputItem:
    return {"role": "user", "content": text}


def threads() -> set[threading.Thread]:
    """Return the threads that are there, without those that the event loop keeps for later."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


async def do(handle: AgentSessionMemory, operation: str) -> None:
    if operation == "add":
        await handle.add_items([said("late")])
    elif operation == "pop":
        await handle.pop_item()
    else:
        await handle.clear_session()


async def test_the_limit_of_its_settings_counts_unless_another_is_named(handle: AgentSessionMemory) -> None:
    await handle.add_items([said(str(n)) for n in range(5)])
    handle.session_settings = SessionSettings(limit=3)

    assert await handle.get_items() == [said("2"), said("3"), said("4")]
    assert await handle.get_items(1) == [said("4")]
    assert await handle.get_items(limit=0) == []
    await handle.clear_session()
    assert (await handle.get_items(), await handle.pop_item()) == ([], None)


async def test_rows_that_hold_no_item_count_for_no_limit(handle: AgentSessionMemory, store: SessionStore) -> None:
    await handle.add_items([said("0"), said("1"), said("2")])
    insert_rows("a", "{bad")

    assert await handle.get_items(2) == [said("1"), said("2")]
    assert await handle.pop_item() == said("2")


async def test_what_cannot_be_stored_leaves_no_lock_behind(handle: AgentSessionMemory, store: SessionStore) -> None:
    with pytest.raises(TypeError):
        await handle.add_items([cast(TResponseInputItem, {"role": "user", "content": object()})])

    with locked("a"):
        pass
    await handle.add_items([said("afterwards")])
    assert await handle.get_items() == [said("afterwards")]


@pytest.mark.parametrize("each_store", [FILE], indirect=True)
@pytest.mark.parametrize(("operation", "table"), [("clear", "agent_sessions"), ("pop", "agent_messages")])
async def test_what_fails_half_way_is_undone(
    handle: AgentSessionMemory, store: SessionStore, operation: str, table: str
) -> None:
    await handle.add_items([said("kept")])
    with outside() as other:
        other.execute(f"DROP TABLE {table}")

        with pytest.raises(MemoryUnavailable):
            await do(handle, operation)

        other.execute("BEGIN IMMEDIATE")
    assert await handle.get_items() == ([said("kept")] if operation == "clear" else []), "the table is made again"
    await handle.add_items([said("afterwards")])


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_who_is_cancelled_in_a_write_learns_it_when_the_outcome_is_known(
    handle: AgentSessionMemory, store: SessionStore, operation: str
) -> None:
    await handle.add_items([said("first")])
    with locked("a"):
        writing = asyncio.create_task(do(handle, operation))
        for _ in range(2):
            await asyncio.sleep(0.01)
            writing.cancel()
        await asyncio.sleep(0.01)
        assert not writing.done()

    with pytest.raises(asyncio.CancelledError):
        await writing

    assert await handle.get_items() == ([said("first"), said("late")] if operation == "add" else [])


@pytest.mark.parametrize("used", [True, False])
async def test_a_closed_store_says_so(handle: AgentSessionMemory, store: SessionStore, used: bool) -> None:
    if used:
        await handle.add_items([said("before")])

    await asyncio.gather(store.close(), store.close())
    await store.close()

    with pytest.raises(MemoryUnavailable, match="closed"):
        await handle.get_items()
    for operation in OPERATIONS:
        with pytest.raises(MemoryUnavailable, match="closed"):
            await do(handle, operation)
    await handle.add_items([])


@pytest.mark.parametrize("each_store", [FILE], indirect=True)
async def test_who_is_cancelled_while_the_file_is_opened_leaves_nothing_behind(
    handle: AgentSessionMemory, store: SessionStore
) -> None:
    before = threads()
    reading = asyncio.create_task(handle.get_items())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert await handle.get_items() == []
    await store.close()
    async with asyncio.timeout(10):
        while threads() - before:  # one that has nothing left to do ends when it is its turn
            await asyncio.sleep(0.01)
