"""A server on a host of its own is cut off in the middle of a turn; when it returns, nothing is done twice.

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
from chat.tests.model_server import Answer, Call, ModelServer, Request, Text, says
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
    """A network namespace with a link to this one."""

    name: str
    link: str

    def command(self, *words: str) -> list[str]:
        """Return a command line that runs there."""
        return ["ip", "netns", "exec", self.name, *words]

    def cut(self) -> None:
        """Cut the link."""
        _ip("link", "set", self.link, "down")

    def mend(self) -> None:
        """Mend it."""
        _ip("link", "set", self.link, "up")


@contextmanager
def another_host() -> Iterator[Host]:
    """Make a host for a while."""
    name = f"tk{uuid.uuid4().hex[:8]}"
    host = Host(name, f"{name}h")
    _ip("netns", "add", name)
    try:
        _ip("link", "add", host.link, "type", "veth", "peer", "name", f"{name}n")
        _ip("link", "set", f"{name}n", "netns", name)
        _ip("addr", "add", f"{HERE}/30", "dev", host.link)
        host.mend()
        for words in (f"addr add {THERE}/30 dev {name}n", f"link set {name}n up", "link set lo up"):
            _ip("-n", name, *words.split())
        yield host
    finally:
        subprocess.run(["ip", "link", "del", host.link], check=False)
        _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.mark.parametrize("store", ["file", "database"])
async def test_what_a_host_does_while_it_is_cut_off_has_no_effect(
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
            await asyncio.to_thread(eventually, partial(_answers, port), what="the server there")
            async with ModelServer(rule=_here) as own_model:
                given = {"OPENAI_BASE_URL": own_model.url, "AGENT_GUARDRAIL": "off", "REDIS_URL": redis.url}
                given["AGENT_SESSION_STORE"] = store
                with ServerProcess(live_database, tmp_path, **given) as here:
                    await _play(host, here, port, tmp_path / "there.log")
        finally:
            for process in processes:
                process.kill()
                process.wait(SECONDS)


async def _here(request: Request) -> Answer:
    """Answer as the other model does: the call, and once it is done, its end."""
    is_done = '"function_call_output"' in json.dumps(request.body)
    return says("Done here.") if is_done else Answer(parts=(Text(("Let me see. ",)), CALL))


async def _play(host: Host, here: ServerProcess, port: int, log: Path) -> None:
    person, conversation_id = sign_in(here), uuid.uuid4()
    there = _At(f"http://{THERE}:{port}", f"ws://{THERE}:{port}")
    async with (
        open_socket(there, person, conversation_id) as cut_off,  # type: ignore[arg-type]
        open_socket(here, person, conversation_id) as socket,
    ):
        await socket.ready()
        turn_id = (await cut_off.accepted(await cut_off.message("Buy milk")))["turn"]["id"]
        await socket.until(lambda frame: frame["type"] == "text.delta" and "word4" in frame["text"])
        host.cut()
        end = await socket.end_of(turn_id, within=60)
        assert end["message"]["text"].endswith("Done here.")
        host.mend()
        await asyncio.to_thread(
            eventually, partial(_is_back, port), within=60, what=f"the return of\n{log.read_text()}"
        )
        async with open_socket(there, person, conversation_id) as again:  # type: ignore[arg-type]
            ready = await again.ready()
            assert ready["turns"] == [], "the host that was cut off has let go of it"
            assert (await again.say("And now?"))[-1]["type"] == "turn.finished"
    titles = here.database.query("SELECT title FROM chat_task WHERE user_id = %s", person.id)
    replies = here.database.query("SELECT text FROM chat_message WHERE turn_id = %s AND role = 'assistant'", turn_id)
    calls = here.database.query("SELECT count(*) FROM chat_toolcall WHERE turn_id = %s", turn_id)
    assert (len(replies), calls) == (1, [(1,)])
    assert titles.count(("Buy milk",)) <= 2, "one of each turn"
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
class _At:
    url: str
    ws_url: str


def _answers(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://{THERE}:{port}/healthz", timeout=2).status_code == 200
    return False


def _is_back(port: int) -> bool:
    with suppress(httpx.TransportError):
        return bool(httpx.get(f"http://{THERE}:{port}/readyz", timeout=5).json()["database"])
    return False


def _socket_and_name(database: LiveDatabase) -> tuple[str, str]:
    """Return the Unix socket of the tests' PostgreSQL, and the database's name."""
    [(folder, port)] = database.query("SELECT current_setting('unix_socket_directories'), current_setting('port')")
    return f"{folder}/.s.PGSQL.{port}", database.query("SELECT current_database()")[0][0]
