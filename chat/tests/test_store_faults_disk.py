"""Conversations continue while the session file cannot be written: locked, read-only, or on a full disk."""

import asyncio
import fcntl
import os
import resource
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import pytest

from chat.memory.file_store import LOCK_BUDGET
from chat.tests.disks import fill, small_disk
from chat.tests.session_file import (
    FIRST,
    REBUILT,
    UNAVAILABLE,
    StoredConversation,
    locked,
    open_conversation,
    path_of,
    stored_conversation,
)
from config.tests.support import ServerProcess

__all__ = ["stored_conversation"]

pytestmark = pytest.mark.service

# From linux/fs.h: get and set an inode's flags, and the flag of an immutable file.
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL = 0x80086601, 0x40086602, 0x10


# Locked.


@pytest.mark.long
async def test_turns_complete_while_the_file_is_locked_for_a_minute(damaged_store_server: ServerProcess) -> None:
    async with AsyncExitStack() as stack:
        users = [await stack.enter_async_context(open_conversation(damaged_store_server)) for _ in range(5)]
        for person in users:
            await person.say(FIRST)
        with locked(path_of(damaged_store_server)):
            held = asyncio.create_task(asyncio.sleep(60))
            turns = 0
            while not held.done():
                for person in users:
                    assert await person.say(f"Add a task to take photo {turns}") == UNAVAILABLE
                turns += 1
                # A user may send at most 30 messages a minute.
                await asyncio.wait({held}, timeout=3)
        assert turns > 5
        for person in users:
            assert await person.say("Show all my tasks") == REBUILT
            await person.check_memory()


@pytest.mark.long
async def test_other_sockets_stay_responsive_while_turns_wait_for_the_lock(damaged_store_server: ServerProcess) -> None:
    """The event loop is free: another socket gets its pongs promptly while turns wait."""
    async with AsyncExitStack() as stack:
        users = [await stack.enter_async_context(open_conversation(damaged_store_server)) for _ in range(4)]
        for person in users:
            await person.say(FIRST)
        other = await stack.enter_async_context(open_conversation(damaged_store_server))
        with locked(path_of(damaged_store_server)):
            accepted = [await person.begin("Add a task to call the bakery") for person in users]
            ends = asyncio.gather(*(person.end(frame) for person, frame in zip(users, accepted, strict=True)))
            waits = []
            while not any("warning" in person.socket.kinds() for person in users):
                sent_at = time.monotonic()
                await other.socket.pong()
                waits.append(time.monotonic() - sent_at)
            assert await ends == [UNAVAILABLE] * len(users)
        assert sum(waits) > LOCK_BUDGET / 2, "the turns waited"
        assert sum(wait for wait in waits if wait > 0.5) < LOCK_BUDGET / 2, (
            "the machine may be busy, but the event loop is free"
        )
        for person in users:
            assert await person.say("Show all my tasks") == REBUILT
            await person.check_memory()


# Read-only.


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Make a file and its log immutable, even for root and for processes that have them open.

    SQLite's `-shm` stays writable: it is shared memory, and the kernel would kill a process that has it mapped.
    """
    files = [path, path.with_name(f"{path.name}-wal")]
    try:
        _set_flags(files, FS_IMMUTABLE_FL)
    except OSError as error:
        pytest.skip(f"Files cannot be made immutable here: {error}")
    try:
        yield
    finally:
        _set_flags(files, 0)


def _set_flags(files: list[Path], flags: int) -> None:
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            before = struct.unpack("i", fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, bytes(4)))[0]
            fcntl.ioctl(descriptor, FS_IOC_SETFLAGS, struct.pack("i", before & ~FS_IMMUTABLE_FL | flags))
        finally:
            os.close(descriptor)


async def test_conversation_continues_while_the_file_is_read_only(stored_conversation: StoredConversation) -> None:
    with read_only(path_of(stored_conversation.server)):
        assert await stored_conversation.say("Add a task to call the bakery") == UNAVAILABLE
        assert await stored_conversation.say("Add a task to bake a cake") == UNAVAILABLE

    assert await stored_conversation.say("Show all my tasks") == REBUILT
    await stored_conversation.check_memory()


# Full disk.


@pytest.fixture
def full_disk(damaged_store_server: ServerProcess) -> Iterator[Path]:
    """Mount a small disk at the folder of the session file."""
    folder = path_of(damaged_store_server).parent
    with small_disk(folder):
        yield folder


async def test_conversation_on_a_full_disk_continues_and_is_remembered_later(
    full_disk: Path, stored_conversation: StoredConversation
) -> None:
    fill(full_disk / "filler")

    assert await stored_conversation.say("Add a task to call the bakery") == UNAVAILABLE
    assert await stored_conversation.say("Add a task to bake a cake") == UNAVAILABLE
    (full_disk / "filler").unlink()

    assert await stored_conversation.say("Show all my tasks") == REBUILT
    await stored_conversation.check_memory()


async def test_disk_full_from_the_start_is_used_once_it_has_room(
    full_disk: Path, damaged_store_server: ServerProcess
) -> None:
    fill(full_disk / "filler")
    async with open_conversation(damaged_store_server) as person:
        assert await person.say(FIRST) == UNAVAILABLE
        (full_disk / "filler").unlink()

        assert await person.say("Show all my tasks") == REBUILT
        await person.check_memory()


@contextmanager
def limited_file_size(server: ServerProcess) -> Iterator[None]:
    """Prevent a server from extending the log of its session file, which acts like a full disk without needing one."""
    path = path_of(server)
    pid, unlimited = server.process.pid, resource.RLIM_INFINITY
    # Make the log longer than the server's other files, and keep it open here so that it is not reset.
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("INSERT INTO agent_sessions VALUES ('filler', ?, '')", ("x" * 2**20,))
        length = path.with_name(f"{path.name}-wal").stat().st_size
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (length, unlimited))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
            connection.execute("DELETE FROM agent_sessions WHERE session_id = 'filler'")


async def test_conversation_continues_when_the_file_cannot_grow(stored_conversation: StoredConversation) -> None:
    with limited_file_size(stored_conversation.server):
        assert await stored_conversation.say("Add a task to call the bakery") == UNAVAILABLE
        assert await stored_conversation.say("Add a task to bake a cake") == UNAVAILABLE

    assert await stored_conversation.say("Show all my tasks") == REBUILT
    await stored_conversation.check_memory()
