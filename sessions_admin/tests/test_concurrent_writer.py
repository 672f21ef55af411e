"""Another program adds items to a held session while the product replaces its content: no item is lost."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
from agents.testing import ScriptedModel, assistant_message
from pytest_django import Settings

from chat.exceptions import MemoryUnavailable
from chat.infra.db_threads import in_database
from chat.models import Message, Turn
from chat.tests.conftest import Chat
from sessions_admin.sessions import lifecycle
from sessions_admin.tests.test_held_session import BY, HeldSession

pytestmark = pytest.mark.django_db(transaction=True)

# Adds pairs of items until its input ends, then prints the number of committed pairs.
WRITER = """
import asyncio, sys, threading
from agents import SQLiteSession

async def main(session_id, path):
    session, ended, n = SQLiteSession(session_id, path), threading.Event(), 0
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.wait(0.02):
        await session.add_items([{"role": role, "content": f"pair {n} of {role}"} for role in ("user", "assistant")])
        n += 1
        if n == 1:
            print("begun", flush=True)
    print(n, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


class Writer:
    """Another program that writes to a session."""

    def __init__(self, held: HeldSession) -> None:
        command = [sys.executable, "-c", WRITER, held.session_id, str(held.path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"

    def stop(self) -> int:
        """Stop the program and return how many pairs it has committed."""
        return int(self.process.communicate(timeout=60)[0])


@pytest.fixture
async def held(chat: Chat, script: ScriptedModel, settings: Settings) -> HeldSession:
    settings.AGENT_SESSION_DB_PATH = path = chat.session_file
    held = HeldSession(chat, script, path)
    for text in ("First", "Second"):
        await held.say(text)
    await held.attempt(lifecycle.hold_session, held.session_id, actor=BY, reason="a case")
    return held


@pytest.fixture
def writer(held: HeldSession) -> Iterator[Writer]:
    writer = Writer(held)
    yield writer
    writer.process.kill()
    writer.process.wait()


async def edit(held: HeldSession) -> None:
    first = await in_database(lambda: Message.objects.filter(position=1).get())
    held.script.enqueue([assistant_message("otherwise")])
    await held.chat.edit(first.pk, "Something else")


async def retry(held: HeldSession) -> None:
    newest = await in_database(lambda: Turn.objects.order_by("-seq").select_related("user")[0])
    held.script.enqueue([assistant_message("anew")])
    await held.chat.retry(newest)


async def rebuild(held: HeldSession) -> None:
    with suppress(MemoryUnavailable):
        await held.attempt(lifecycle.rebuild_session, held.session_id, actor=BY)


@pytest.mark.long
async def test_items_added_by_another_program_are_not_lost(held: HeldSession, writer: Writer) -> None:
    for operation in (edit, retry, rebuild):
        for _ in range(5):
            await operation(held)
            await held.chat.wait_until_idle()
    written = writer.stop()

    found = {match for item in await in_database(held.all_items) for match in re.findall(r"pair \d+ of \w+", item)}
    assert {f"pair {n} of {role}" for n in range(written) for role in ("user", "assistant")} <= found
