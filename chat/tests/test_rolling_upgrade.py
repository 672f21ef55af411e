"""Servers of the version before and of this one serve one person, on one database, while an upgrade goes on."""

import asyncio
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from chat.tests.live import check_log
from chat.tests.model_server import Call, ModelServer, calls, says
from chat.tests.redis_server import RedisServer
from chat.tests.two_servers import REPLY, WORDS, Pair, awaited_call, has_text, shown
from config.runtime.processes import spawn
from config.tests.support import (
    PASSWORD,
    ROOT,
    SECONDS,
    LiveDatabase,
    ServerProcess,
    clean_environment,
    database,
    free_port,
    prepare,
)

pytestmark = [pytest.mark.service, pytest.mark.xdist_group("rolling upgrade")]


def git(*words: str) -> bytes:
    """Return the output of a git command; skip the test without the history, as in a shallow clone."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, timeout=SECONDS, check=False)
    if done.returncode or not done.stdout:
        pytest.skip(f"The version before is not in this clone: {done.stderr.decode().strip() or 'no such commit'}")
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last commit of the version before; it runs with the packages of this one."""
    changed = git("log", "-1", "--format=%H", "-G", '^version = "', "--", "pyproject.toml").decode().strip()
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=BytesIO(git("archive", f"{changed}^"))) as files:
        files.extractall(folder, filter="data")
    return folder


class ServerBefore(ServerProcess):
    """A server of the version before."""

    checkout: Path

    def launch(self) -> None:
        """Start the process without waiting until it answers."""
        command = [sys.executable, "-m", self.program, "--port", str(self.port)]
        with open(self.log, "ab") as output:
            self.before = spawn(command, env=clean_environment(**self.variables), output=output, cwd=self.checkout)
        self.process = self.before  # type: ignore[assignment]


@pytest.fixture(scope="module")
def servers(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The version before makes the database and serves, then this one migrates it and serves too."""
    folder, port = tmp_path_factory.mktemp("rolling"), free_port()
    redis = RedisServer(folder)
    variables = {
        "REDIS_URL": redis.url,
        "AGENT_SESSION_STORE": "database",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "AGENT_GUARDRAIL": "off",
    }
    ServerBefore.checkout = checkout
    with database(os.environ["DATABASE_URL"]) as (_, url):
        bootstrap = clean_environment(DATABASE_URL=url, DATA_DIR=str(folder), ADMIN_PASSWORD=PASSWORD)
        command = [sys.executable, "-m", "config.runtime.bootstrap"]
        subprocess.run(command, cwd=checkout, env=bootstrap, check=True, timeout=120)
        with ServerBefore(LiveDatabase(url), folder, **variables) as before:
            prepare(url, folder)
            with ServerProcess(LiveDatabase(url), folder, **variables) as now:
                yield Pair(before, now, redis, port, ModelServer(port=port))
    redis.kill9()


@pytest.fixture
async def pair(servers: Pair) -> AsyncIterator[Pair]:
    async with servers.with_model():
        yield servers


@pytest.mark.parametrize("begins", ["before", "now"])
async def test_a_turn_of_one_version_is_followed_and_stopped_in_the_other(pair: Pair, begins: str) -> None:
    async with pair.opened() as sockets:
        here, there = sockets if begins == "before" else sockets[::-1]
        turn_id = await pair.begun(here)
        await has_text(there, turn_id)
        await there.send("turn.stop", turn_id=turn_id)
        for socket in (here, there):
            assert (await socket.end_of(turn_id))["type"] == "turn.stopped"
        assert check_log(there.log_of(turn_id)) == check_log(here.log_of(turn_id))


@pytest.mark.parametrize("asks", ["before", "now"])
async def test_an_approval_that_one_version_requests_is_decided_in_the_other(pair: Pair, asks: str) -> None:
    async with pair.opened() as sockets:
        here, there = sockets if asks == "before" else sockets[::-1]
        pair.model.play(says("Noted."), calls(Call("delete_tasks", {"numbers": [1, 2]})), says("They are gone."))
        await there.reply("Remember that I like tea")  # the memory that the other version continues
        turn_id = (await here.accepted(await here.message("Delete everything")))["turn"]["id"]
        call_id = await awaited_call(there, turn_id)
        await there.send("approval.decide", turn_id=turn_id, call_id=call_id, approve=True)
        for socket in (here, there):
            assert (await socket.end_of(turn_id))["message"]["text"] == "They are gone."


# Last: it ends the server of the version before.
async def test_a_turn_is_continued_by_this_version_when_the_server_before_ends(pair: Pair) -> None:
    async with pair.opened() as (before, now):
        turn_id = await pair.begun(before)
        await has_text(now, turn_id)
        pair.model.play(says(*WORDS))
        ended = asyncio.create_task(asyncio.to_thread(pair.a.terminate))
        assert await before.closed(within=SECONDS) == 1012
        assert await ended == 0
        pair.model.release()
        end = await now.end_of(turn_id)
        assert end["message"]["text"] == shown(now, turn_id) == REPLY
        kept = "SELECT count(*) FROM chat_message WHERE turn_id = %s AND role = 'assistant'"
        assert pair.a.database.query(kept, turn_id) == [(1,)]
