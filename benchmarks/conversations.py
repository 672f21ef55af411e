"""Latency of a reply in a conversation of 50 messages, of a session read, and of 100 concurrent conversations.

    uv run python -m benchmarks.conversations

Starts a PostgreSQL and a real server process, and sends messages over websockets as the page does. The offline model
answers; its own time is part of every figure. Prints the table of docs/explanation/benchmarks-of-turns.md.
"""

import asyncio
import json
import os
import statistics
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.place import isolated_environment

TARGET_REPLY = 3.0  # seconds, R43
TARGET_READ = 0.1
CONVERSATIONS = 100
MESSAGES_EACH = 5
MESSAGES = (
    "Add a task to call Ada",
    "show my tasks",
    "make that due tomorrow",
    "what was the first thing I asked?",
    "thanks",
)


@dataclass(frozen=True)
class Figures:
    """Times of one measurement, in seconds."""

    name: str
    times: list[float]

    def line(self) -> str:
        """Return the row of the table, in milliseconds."""
        ordered = sorted(self.times)
        p95 = ordered[int(len(ordered) * 0.95)] if len(ordered) > 1 else ordered[0]
        figures = (statistics.median(ordered), p95, ordered[-1])
        return f"| {self.name} | {len(ordered)} | " + " | ".join(f"{figure * 1000:.1f}" for figure in figures) + " |"


class ChatClient:
    """A client with one socket on one conversation."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    async def send_and_read(self, text: str) -> tuple[float, float]:
        """Send a message; return the seconds to the first word and to the end."""
        started = time.perf_counter()
        first = 0.0
        await self._socket.send(json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": text}))
        while True:
            frame = json.loads(await self._socket.recv())
            if frame["type"] == "text.delta":
                first = first or time.perf_counter() - started
                ack = {"type": "log.ack", **{key: frame[key] for key in ("turn_id", "attempt", "n")}}
                await self._socket.send(json.dumps(ack))
            elif frame["type"] == "turn.finished":
                return first, time.perf_counter() - started
            elif frame["type"] in ("error", "turn.failed", "turn.stopped"):
                raise RuntimeError(frame)


async def long_conversation(open_page: "OpenPage") -> list[Figures]:
    """Send messages in a conversation that already has 50."""
    async with AsyncExitStack() as stack:
        client = await open_page(stack)
        for n in range(25):
            await client.send_and_read(f"Add a task to write letter {n}")
        times = [await client.send_and_read(MESSAGES[n % len(MESSAGES)]) for n in range(40)]
    return [
        Figures("first word, conversation of 50 messages", [first for first, _ in times]),
        Figures("whole reply, conversation of 50 messages", [end for _, end in times]),
    ]


async def concurrent_conversations(open_page: "OpenPage") -> tuple[list[Figures], float]:
    """Let 100 clients chat in 100 conversations at the same time; also return the turns per second."""

    async def chat(client: ChatClient) -> list[tuple[float, float]]:
        return [await client.send_and_read(text) for text in MESSAGES[:MESSAGES_EACH]]

    async with AsyncExitStack() as stack:
        clients = [await open_page(stack) for _ in range(CONVERSATIONS)]
        started = time.perf_counter()
        times = [pair for pairs in await asyncio.gather(*map(chat, clients)) for pair in pairs]
        elapsed = time.perf_counter() - started
    figures = [
        Figures(f"first word, {CONVERSATIONS} conversations at once", [first for first, _ in times]),
        Figures(f"whole reply, {CONVERSATIONS} conversations at once", [end for _, end in times]),
    ]
    return figures, len(times) / elapsed


async def session_reads(path: Path) -> list[Figures]:
    """Read the sessions of the conversations above, as a turn does."""
    import sqlite3

    from chat.memory.file_store import FileStore

    with sqlite3.connect(path) as connection:
        query = "SELECT session_id FROM agent_messages GROUP BY session_id ORDER BY count(*) DESC"
        ids = [row[0] for row in connection.execute(query)]
    connection.close()
    cold = []
    for session_id in ids[:20]:
        store = FileStore(path)
        started = time.perf_counter()
        await store.rows(session_id)
        cold.append(time.perf_counter() - started)
        await store.close()
    store = FileStore(path)
    warm = []
    for n in range(1000):
        started = time.perf_counter()
        await store.rows(ids[n % len(ids)])
        warm.append(time.perf_counter() - started)
    await store.close()
    return [Figures("session read, file just opened", cold), Figures("session read", warm)]


OpenPage = Callable[[AsyncExitStack], Coroutine[Any, Any, ChatClient]]


def main() -> None:
    """Run all measurements and print the table."""
    from config.tests.support import LiveDatabase, ServerProcess, create_tables

    with isolated_environment() as folder:
        url = os.environ["DATABASE_URL"]
        create_tables(url, folder)
        database = LiveDatabase(url)
        server = ServerProcess(database, folder, MESSAGES_PER_MINUTE="1000000", SOCKETS_PER_USER="1000")
        try:
            asyncio.run(measure(server, database))
        finally:
            server.terminate()


async def measure(server: Any, database: Any) -> None:
    """Measure with a running server, and print."""
    from websockets.asyncio.client import connect

    cookies = iter(await asyncio.to_thread(_sign_in, server, database, CONVERSATIONS + 1))
    process = psutil.Process(server.process.pid)

    async def open_page(stack: AsyncExitStack) -> ChatClient:
        url = f"{server.ws_url}/ws/chat/{uuid.uuid4()}/"
        page = connect(url, additional_headers={"Cookie": next(cookies)}, origin=server.url)
        socket = await stack.enter_async_context(page)
        await socket.recv()
        return ChatClient(socket)

    figures = await long_conversation(open_page)
    before = process.memory_info().rss
    concurrent, rate = await concurrent_conversations(open_page)
    after = process.memory_info().rss
    figures += concurrent + await session_reads(server.data_dir / "agent_sessions.db")
    print(f"{os.cpu_count()} cores, the server one process, clients on the same machine; milliseconds\n")
    print("| what | samples | p50 | p95 | most |\n|---|---|---|---|---|")
    print("\n".join(figure.line() for figure in figures))
    print(f"\n{rate:.0f} turns a second with {CONVERSATIONS} at once;", end=" ")
    print(f"memory {before >> 20} MB before, {after >> 20} MB after")
    worst_reply = max(max(figure.times) for figure in figures if "reply, conversation of 50" in figure.name)
    worst_read = max(max(figure.times) for figure in figures if "session" in figure.name)
    held = worst_reply < TARGET_REPLY and worst_read < TARGET_READ
    print(f"R43: slowest reply {worst_reply:.2f} s (under {TARGET_REPLY:.0f} s),", end=" ")
    print(
        f"slowest read {worst_read * 1000:.1f} ms (under {TARGET_READ * 1000:.0f} ms): {'held' if held else 'MISSED'}"
    )


def _sign_in(server: Any, database: Any, users: int) -> list[str]:
    """Create and sign in users, one after another; return their cookies."""
    cookies = []
    for n in range(users):
        database.add_user(f"person{n}@example.com")
        cookies.append(server.cookie(f"person{n}@example.com"))
    return cookies


if __name__ == "__main__":
    main()
