"""A session file that cannot be written, or not for long: locked, read-only, on a full disk. Nobody waits for it."""

import asyncio
import fcntl
import os
import resource
import sqlite3
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import pytest

from chat.memory.file_store import LOCK_BUDGET
from chat.tests.session_file import FIRST, REBUILT, UNAVAILABLE, Talk, locked, path_of, person, talk
from config.tests.support import ServerProcess

__all__ = ["person"]

pytestmark = pytest.mark.service

# Of linux/fs.h: the flags of an inode, and that nobody may write to it.
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL = 0x80086601, 0x40086602, 0x10


# Locked.


@pytest.mark.long
async def test_a_lock_of_a_minute_stops_nobody(hurt_server: ServerProcess) -> None:
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(talk(hurt_server)) for _ in range(5)]
        for person in people:
            await person.say(FIRST)
        with locked(path_of(hurt_server)):
            held = asyncio.create_task(asyncio.sleep(60))
            turns = 0
            while not held.done():
                for person in people:
                    assert await person.say(f"Add a task to take photo {turns}") == UNAVAILABLE
                turns += 1
                # Nobody may say more than 30 things a minute.
                await asyncio.wait({held}, timeout=3)
        assert turns > 5
        for person in people:
            assert await person.say("Show all my tasks") == REBUILT
            await person.remembers()


async def test_nothing_else_waits_while_turns_wait_for_the_lock(hurt_server: ServerProcess) -> None:
    """The event loop is free: another socket is answered at once for as long as turns wait."""
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(talk(hurt_server)) for _ in range(4)]
        for person in people:
            await person.say(FIRST)
        other = await stack.enter_async_context(talk(hurt_server))
        with locked(path_of(hurt_server)):
            accepted = [await person.begin("Add a task to call the bakery") for person in people]
            ends = asyncio.gather(*(person.end(frame) for person, frame in zip(people, accepted, strict=True)))
            waits = []
            while not any("warning" in person.socket.kinds() for person in people):
                asked = time.monotonic()
                await other.socket.pong()
                waits.append(time.monotonic() - asked)
            assert await ends == [UNAVAILABLE] * len(people)
        assert sum(waits) > LOCK_BUDGET / 2, "the turns waited"
        assert sum(wait for wait in waits if wait > 0.5) < LOCK_BUDGET / 2, "the machine may be busy, not the loop"
        for person in people:
            assert await person.say("Show all my tasks") == REBUILT
            await person.remembers()


# Not to be written.


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Let nobody write to a file and its log: not root, nor those who have them open.

    SQLite's `-shm` is memory that processes share, not written like a file: the kernel would end who has it mapped.
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


async def test_while_the_file_is_read_only_conversations_go_on(person: Talk) -> None:
    with read_only(path_of(person.server)):
        assert await person.say("Add a task to call the bakery") == UNAVAILABLE
        assert await person.say("Add a task to bake a cake") == UNAVAILABLE

    assert await person.say("Show all my tasks") == REBUILT
    await person.remembers()


# A disk that is full.


@pytest.fixture
def small_disk(hurt_server: ServerProcess) -> Iterator[Path]:
    """A disk of two megabytes where the sessions are kept."""
    folder = path_of(hurt_server).parent
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "threadkeeper-test", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"No file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    # At once, though the server has files open in it.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write to a file until nothing more fits on its disk."""
    with open(file, "wb", buffering=0) as writing:
        for size in (65536, 512):
            try:
                while True:
                    writing.write(bytes(size))
            except OSError:
                continue


async def test_on_a_full_disk_conversations_go_on_and_are_remembered_once_there_is_room(
    small_disk: Path, person: Talk
) -> None:
    fill(small_disk / "filler")

    assert await person.say("Add a task to call the bakery") == UNAVAILABLE
    assert await person.say("Add a task to bake a cake") == UNAVAILABLE
    (small_disk / "filler").unlink()

    assert await person.say("Show all my tasks") == REBUILT
    await person.remembers()


async def test_a_disk_that_is_full_from_the_beginning_is_used_once_there_is_room(
    small_disk: Path, hurt_server: ServerProcess
) -> None:
    fill(small_disk / "filler")
    async with talk(hurt_server) as person:
        assert await person.say(FIRST) == UNAVAILABLE
        (small_disk / "filler").unlink()

        assert await person.say("Show all my tasks") == REBUILT
        await person.remembers()


@contextmanager
def nothing_may_grow(server: ServerProcess) -> Iterator[None]:
    """Let a server write no further into its sessions' log: as good as a full disk, and needs none."""
    path = path_of(server)
    pid, unlimited = server.process.pid, resource.RLIM_INFINITY
    # A log that is longer than what the server writes elsewhere, and open here so that it is not begun anew.
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("INSERT INTO agent_sessions VALUES ('filler', ?, '')", ("x" * 2**20,))
        length = path.with_name(f"{path.name}-wal").stat().st_size
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (length, unlimited))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
            connection.execute("DELETE FROM agent_sessions WHERE session_id = 'filler'")


async def test_when_the_file_may_not_grow_conversations_go_on(person: Talk) -> None:
    with nothing_may_grow(person.server):
        assert await person.say("Add a task to call the bakery") == UNAVAILABLE
        assert await person.say("Add a task to bake a cake") == UNAVAILABLE

    assert await person.say("Show all my tasks") == REBUILT
    await person.remembers()
