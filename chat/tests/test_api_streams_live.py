"""Streams of a real server: cut, resumed, unread, and gone on with after a kill."""

import asyncio
import socket as sockets_of_the_system
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import psutil
import pytest

from chat.models.token import hash_of
from chat.tests.live import ScriptedServer, endpoint
from chat.tests.model_server import ModelServer, says
from chat.tests.streams import Reader
from config.tests.support import LiveDatabase, ServerProcess

__all__ = ["endpoint"]

pytestmark = pytest.mark.service
SECONDS = 60


@dataclass
class Program:
    """Somebody's program, in a thread of theirs."""

    server: ServerProcess
    key: str
    thread_id: str = ""

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, body: object = None, last: str = ""
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a stream; it is cut where the block is left."""
        headers = {"Authorization": f"Bearer {self.key}"} | ({"Last-Event-ID": last} if last else {})
        url = f"{self.server.url}/api/chatkit/threads/{self.thread_id}{path}"
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(timeout=SECONDS) as client,
            client.stream(method, url, json=body, headers=headers) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            yield answer.aiter_raw()

    async def say(self, text: str, reader: Reader) -> None:
        """Say something and read all of the stream."""
        async with self.stream("POST", "/messages", {"text": text}) as parts:
            async for part in parts:
                reader.feed(part)

    async def follow(self, turn_id: str, reader: Reader) -> None:
        """Read a turn's stream from where the reader has come to."""
        async with self.stream("GET", f"/turns/{turn_id}/events", last=reader.last_id) as parts:
            async for part in parts:
                reader.feed(part)


def program_at(server: ServerProcess) -> Program:
    """Make a person, a token and a thread."""
    key = f"tk_{uuid.uuid4().hex}"
    user_id = server.database.add_user(f"{uuid.uuid4().hex}@example.com")
    give_token(server.database, user_id, key)
    program = Program(server, key)
    made = httpx.post(
        f"{server.url}/api/chatkit/threads", json={}, headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS
    )
    program.thread_id = made.json()["thread_id"]
    return program


def give_token(database: LiveDatabase, user_id: uuid.UUID, key: str) -> None:
    database.query(
        "INSERT INTO chat_apitoken (id, user_id, name, scopes, hash, beginning, signed_in_by, created_at)"
        " VALUES (%s, %s, 'test', '{chat}', %s, 'tk_', '', now())",
        uuid.uuid4(),
        user_id,
        hash_of(key),
    )


async def until_begun(reader: Reader) -> str:
    """Wait for the first event; return the turn's id."""
    async with asyncio.timeout(SECONDS):
        while not reader.events:
            await asyncio.sleep(0.01)
    return str(reader.events[0].data["turn_id"])


async def test_after_a_kill_a_stream_goes_on_to_the_same_end(
    scripted_server: ScriptedServer, live_database: LiveDatabase, tmp_path: object
) -> None:
    variables = scripted_server.server.variables
    async with ModelServer(port=0) as endpoint:
        model = {"OPENAI_BASE_URL": endpoint.url, "AGENT_GUARDRAIL": variables["AGENT_GUARDRAIL"]}
        server = ServerProcess(live_database, tmp_path, **model)  # type: ignore[arg-type]
        try:
            endpoint.play(says("Half of ", "it", ", and the rest."), says("All ", "anew."))
            endpoint.hold()
            program, reader = program_at(server), Reader()
            saying = asyncio.create_task(program.say("hi", reader))
            endpoint.release(2)
            turn_id = await until_begun(reader)
            async with asyncio.timeout(SECONDS):
                while reader.text != "Half of it":
                    await asyncio.sleep(0.01)
            server.kill9()
            with pytest.raises(httpx.TransportError):
                await saying
            reader.cut()
            assert not reader.ended
            endpoint.release()
            await asyncio.to_thread(server.restart)
            await program.follow(turn_id, reader)
        finally:
            server.kill9()
    assert reader.ended and reader.text == "All anew."
    assert reader.events[-1].data["status"] == "done"


async def test_a_server_that_stops_ends_its_streams_in_good_order(
    scripted_server: ScriptedServer, live_database: LiveDatabase, tmp_path: object
) -> None:
    async with ModelServer(port=0) as endpoint:
        model = {"OPENAI_BASE_URL": endpoint.url, "AGENT_GUARDRAIL": "off"}
        server = ServerProcess(live_database, tmp_path, **model)  # type: ignore[arg-type]
        try:
            endpoint.play(says("so far", "."))
            endpoint.hold()
            program, reader = program_at(server), Reader()
            saying = asyncio.create_task(program.say("hi", reader))
            endpoint.release(1)
            await until_begun(reader)
            assert await asyncio.to_thread(server.terminate) == 0
            await saying  # to an end that is whole, or the client would say so
            assert not reader.ended
            assert "Traceback" not in server.output and "never retrieved" not in server.output
        finally:
            server.kill9()


@asynccontextmanager
async def deaf(program: Program, turn_id: str) -> AsyncIterator[None]:
    """Ask for a stream and never read it, with next to no room in the kernel."""
    plain = sockets_of_the_system.socket()
    plain.setsockopt(sockets_of_the_system.SOL_SOCKET, sockets_of_the_system.SO_RCVBUF, 4096)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(plain, ("127.0.0.1", program.server.port))
        asking = (
            f"GET /api/chatkit/threads/{program.thread_id}/turns/{turn_id}/events HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {program.key}\r\n\r\n"
        )
        await loop.sock_sendall(plain, asking.encode())
        yield
    finally:
        plain.close()


async def test_what_nobody_reads_stays_unsent(scripted_server: ScriptedServer, endpoint: ModelServer) -> None:
    story = ["plain text " * 400] * 600
    endpoint.play(says(*story))
    program, reader = program_at(scripted_server.server), Reader()
    await program.say("tell me everything", reader)
    assert reader.text == "".join(story)
    turn_id = str(reader.events[0].data["turn_id"])
    for _ in range(2):  # so that what reading it again takes by itself is there already
        await program.follow(turn_id, Reader())
    server = psutil.Process(scripted_server.server.process.pid)
    before = server.memory_info().rss
    async with AsyncExitStack() as stack:
        for _ in range(15):
            await stack.enter_async_context(deaf(program, turn_id))
        for _ in range(3):  # time for as much as the server would like to send
            await program.follow(turn_id, Reader())
        grown = server.memory_info().rss - before
    undelivered = 15 * len(reader.text)
    assert undelivered > 36 * 2**20
    assert grown < 12 * 2**20, f"{grown / 2**20:.1f} MiB more, {undelivered / 2**20:.0f} MiB undelivered"
