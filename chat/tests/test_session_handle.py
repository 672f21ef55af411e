"""A session handle behaves like the SDK's own sessions.

The SDK's tests run against it too (benchmarks/sdk_session_tests.py); this file covers those of them that inspect the
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
from chat.tests.stores import direct_access, insert_rows, locked

OPERATIONS = ["add", "pop", "clear"]


@pytest.fixture
async def store(each_store: str) -> AsyncIterator[SessionStore]:
    opened = session_store()
    yield opened
    await opened.close()


@pytest.fixture
def handle(store: SessionStore) -> AgentSessionMemory:
    return AgentSessionMemory("a", store)


def user_item(text: str) -> TResponseInputItem:
    return {"role": "user", "content": text}


def running_threads() -> set[threading.Thread]:
    """Return the running threads, without those of the event loop's executor."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


async def run_operation(handle: AgentSessionMemory, operation: str) -> None:
    if operation == "add":
        await handle.add_items([user_item("late")])
    elif operation == "pop":
        await handle.pop_item()
    else:
        await handle.clear_session()


async def test_limit_argument_overrides_the_limit_of_session_settings(handle: AgentSessionMemory) -> None:
    await handle.add_items([user_item(str(n)) for n in range(5)])
    handle.session_settings = SessionSettings(limit=3)

    assert await handle.get_items() == [user_item("2"), user_item("3"), user_item("4")]
    assert await handle.get_items(1) == [user_item("4")]
    assert await handle.get_items(limit=0) == []
    await handle.clear_session()
    assert (await handle.get_items(), await handle.pop_item()) == ([], None)


async def test_invalid_rows_do_not_count_towards_the_limit(handle: AgentSessionMemory, store: SessionStore) -> None:
    await handle.add_items([user_item("0"), user_item("1"), user_item("2")])
    insert_rows("a", "{bad")

    assert await handle.get_items(2) == [user_item("1"), user_item("2")]
    assert await handle.pop_item() == user_item("2")


async def test_unserializable_item_leaves_no_lock(handle: AgentSessionMemory, store: SessionStore) -> None:
    with pytest.raises(TypeError):
        await handle.add_items([cast(TResponseInputItem, {"role": "user", "content": object()})])

    with locked("a"):
        pass
    await handle.add_items([user_item("afterwards")])
    assert await handle.get_items() == [user_item("afterwards")]


@pytest.mark.parametrize("each_store", [FILE], indirect=True)
@pytest.mark.parametrize(("operation", "table"), [("clear", "agent_sessions"), ("pop", "agent_messages")])
async def test_failed_operation_is_rolled_back(
    handle: AgentSessionMemory, store: SessionStore, operation: str, table: str
) -> None:
    await handle.add_items([user_item("kept")])
    with direct_access() as other:
        other.execute(f"DROP TABLE {table}")

        with pytest.raises(MemoryUnavailable):
            await run_operation(handle, operation)

        other.execute("BEGIN IMMEDIATE")
    assert await handle.get_items() == ([user_item("kept")] if operation == "clear" else []), (
        "the table is created again"
    )
    await handle.add_items([user_item("afterwards")])


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_cancellation_during_a_write_takes_effect_after_the_write(
    handle: AgentSessionMemory, store: SessionStore, operation: str
) -> None:
    await handle.add_items([user_item("first")])
    with locked("a"):
        writing = asyncio.create_task(run_operation(handle, operation))
        for _ in range(2):
            await asyncio.sleep(0.01)
            writing.cancel()
        await asyncio.sleep(0.01)
        assert not writing.done()

    with pytest.raises(asyncio.CancelledError):
        await writing

    assert await handle.get_items() == ([user_item("first"), user_item("late")] if operation == "add" else [])


@pytest.mark.parametrize("used", [True, False])
async def test_closed_store_raises_memory_unavailable(
    handle: AgentSessionMemory, store: SessionStore, used: bool
) -> None:
    if used:
        await handle.add_items([user_item("before")])

    await asyncio.gather(store.close(), store.close())
    await store.close()

    with pytest.raises(MemoryUnavailable, match="closed"):
        await handle.get_items()
    for operation in OPERATIONS:
        with pytest.raises(MemoryUnavailable, match="closed"):
            await run_operation(handle, operation)
    await handle.add_items([])


@pytest.mark.parametrize("each_store", [FILE], indirect=True)
async def test_cancellation_while_opening_the_file_leaves_no_thread(
    handle: AgentSessionMemory, store: SessionStore
) -> None:
    before = running_threads()
    reading = asyncio.create_task(handle.get_items())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert await handle.get_items() == []
    await store.close()
    async with asyncio.timeout(10):
        while running_threads() - before:  # an idle thread ends when it is scheduled
            await asyncio.sleep(0.01)
