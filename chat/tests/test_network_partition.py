"""A server on another host loses its network in the middle of a turn; when it is back, nothing is done twice.

The host is a network namespace, so this needs root on Linux.
"""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from agents import SQLiteSession

from chat.memory.identity import SessionId
from chat.tests.live import open_socket, sign_in
from chat.tests.model_server import Answer, Call, ModelServer, Request, Text, text_reply
from chat.tests.redis_server import RedisServer
from config.runtime.processes import spawn
from config.tests.support import (
    ROOT,
    SECONDS,
    LiveDatabase,
    ServerProcess,
    clean_environment,
    eventually,
    free_port,
)

pytestmark = [
    pytest.mark.service,
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux"),
]

HERE, THERE = "10.203.77.1", "10.203.77.2"
CALL = Call("create_task", {"title": "Buy milk"})


@dataclass
class Host:
    """A network namespace with a link to the namespace of the tests."""

    name: str
    link: str

    def command(self, *words: str) -> list[str]:
        """Return a command line that runs a command in the namespace."""
        return ["ip", "netns", "exec", self.name, *words]

    def disconnect(self) -> None:
        _ip("link", "set", self.link, "down")

    def connect(self) -> None:
        _ip("link", "set", self.link, "up")


@contextmanager
def another_host() -> Iterator[Host]:
    """Create a host, and remove it at the end."""
    name = f"tk{uuid.uuid4().hex[:8]}"
    host = Host(name, f"{name}h")
    _ip("netns", "add", name)
    try:
        _ip("link", "add", host.link, "type", "veth", "peer", "name", f"{name}n")
        _ip("link", "set", f"{name}n", "netns", name)
        _ip("addr", "add", f"{HERE}/30", "dev", host.link)
        host.connect()
        for words in (f"addr add {THERE}/30 dev {name}n", f"link set {name}n up", "link set lo up"):
            _ip("-n", name, *words.split())
        yield host
    finally:
        subprocess.run(["ip", "link", "del", host.link], check=False)
        _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.mark.parametrize("store", ["file", "database"])
async def test_disconnected_host_has_no_effect_on_a_turn_taken_over(
    live_database: LiveDatabase, tmp_path: Path, store: str
) -> None:
    words = [f"word{n} " for n in range(20)]
    script = tmp_path / "script.json"
    call = {"name": CALL.name, "arguments": CALL.arguments}
    script.write_text(json.dumps([{"text": words, "calls": [call], "delay": 0.25}, {"text": "Done there."}]))
    socket_path, name = _socket_and_name(live_database)
    port, model_port, database, shared = (free_port() for _ in range(4))
    user = live_database.query("SELECT current_user")[0][0]
    there = clean_environment(
        DATABASE_URL=f"postgres://{user}@{HERE}:{database}/{name}",
        REDIS_URL=f"redis://{HERE}:{shared}/0",
        DATA_DIR=str(tmp_path),
        AGENT_SESSION_STORE=store,
        OPENAI_BASE_URL=f"http://127.0.0.1:{model_port}/v1",
        AGENT_GUARDRAIL="off",
        ALLOWED_HOSTS=THERE,
    )
    with another_host() as host, RedisServer(tmp_path) as redis, open(tmp_path / "there.log", "wb") as log:
        python = (sys.executable, "-m")
        commands = [
            [*python, "chat.tests.forward", HERE, str(database), socket_path],
            [*python, "chat.tests.forward", HERE, str(shared), str(redis.port)],
            host.command(*python, "chat.tests.model_server", "--port", str(model_port), "--script", str(script)),
            host.command(*python, "config.runtime.asgi_server", "--host", THERE, "--port", str(port)),
        ]
        processes = [spawn(command, env=there, output=log, cwd=ROOT) for command in commands]
        try:
            await asyncio.to_thread(eventually, partial(_is_up, port), what="the start of the remote server")
            async with ModelServer(rule=_answer) as own_model:
                given = {"OPENAI_BASE_URL": own_model.url, "AGENT_GUARDRAIL": "off", "REDIS_URL": redis.url}
                given["AGENT_SESSION_STORE"] = store
                with ServerProcess(live_database, tmp_path, **given) as here:
                    await _check_takeover(host, here, port, tmp_path / "there.log")
        finally:
            for process in processes:
                process.kill()
                process.wait(SECONDS)


async def _answer(request: Request) -> Answer:
    """Answer as the remote model does: with the tool call, and after it with a final message."""
    is_done = '"function_call_output"' in json.dumps(request.body)
    return text_reply("Done here.") if is_done else Answer(parts=(Text(("Let me see. ",)), CALL))


async def _check_takeover(host: Host, here: ServerProcess, port: int, log: Path) -> None:
    person, conversation_id = sign_in(here), uuid.uuid4()
    there = _RemoteServer(f"http://{THERE}:{port}", f"ws://{THERE}:{port}")
    async with (
        open_socket(there, person, conversation_id) as cut_off,  # type: ignore[arg-type]
        open_socket(here, person, conversation_id) as socket,
    ):
        await socket.ready()
        turn_id = (await cut_off.accepted(await cut_off.message("Buy milk")))["turn"]["id"]
        await socket.until(lambda frame: frame["type"] == "text.delta" and "word4" in frame["text"])
        host.disconnect()
        end = await socket.end_of(turn_id, within=60)
        assert end["message"]["text"].endswith("Done here.")
        host.connect()
        await asyncio.to_thread(
            eventually, partial(_is_ready, port), within=60, what=f"the reconnection of\n{log.read_text()}"
        )
        async with open_socket(there, person, conversation_id) as again:  # type: ignore[arg-type]
            ready = await again.ready()
            assert ready["turns"] == [], "the disconnected host has dropped the turn"
            assert (await again.send_and_wait("And now?"))[-1]["type"] == "turn.finished"
    titles = here.database.query("SELECT title FROM chat_task WHERE user_id = %s", person.id)
    replies = here.database.query("SELECT text FROM chat_message WHERE turn_id = %s AND role = 'assistant'", turn_id)
    calls = here.database.query("SELECT count(*) FROM chat_toolcall WHERE turn_id = %s", turn_id)
    assert (len(replies), calls) == (1, [(1,)])
    assert titles.count(("Buy milk",)) <= 2, "one for each message"
    session_id, path = str(SessionId(person.id, conversation_id)), here.data_dir / "agent_sessions.db"
    if here.variables["AGENT_SESSION_STORE"] == "file":
        with closing(SQLiteSession(session_id, path)) as session:
            items = await session.get_items()
    else:
        rows = "SELECT message_data FROM agent_messages WHERE session_id = %s ORDER BY id"
        items = [json.loads(data) for (data,) in here.database.query(rows, session_id)]
    stored = here.database.query("SELECT items FROM chat_turn WHERE conversation_id = %s ORDER BY seq", conversation_id)
    assert items == [item for (turn,) in stored for item in turn]


@dataclass
class _RemoteServer:
    url: str
    ws_url: str


def _is_up(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://{THERE}:{port}/healthz", timeout=2).status_code == 200
    return False


def _is_ready(port: int) -> bool:
    with suppress(httpx.TransportError):
        return bool(httpx.get(f"http://{THERE}:{port}/readyz", timeout=5).json()["database"])
    return False


def _socket_and_name(database: LiveDatabase) -> tuple[str, str]:
    """Return the Unix socket of PostgreSQL, and the database's name."""
    [(folder, port)] = database.query("SELECT current_setting('unix_socket_directories'), current_setting('port')")
    return f"{folder}/.s.PGSQL.{port}", database.query("SELECT current_database()")[0][0]
