"""During a rolling upgrade, servers of the previous and of this version serve one user on one database."""

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
from chat.tests.model_server import Call, ModelServer, text_reply, tool_calls
from chat.tests.redis_server import RedisServer
from chat.tests.two_servers import REPLY, WORDS, ServerPair, displayed_text, pending_call_id, wait_for_text
from config.runtime.processes import spawn
from config.tests.support import (
    PASSWORD,
    ROOT,
    SECONDS,
    LiveDatabase,
    ServerProcess,
    clean_environment,
    create_tables,
    database,
    free_port,
)

pytestmark = [pytest.mark.service, pytest.mark.long, pytest.mark.xdist_group("rolling upgrade")]


def git(*words: str) -> bytes:
    """Return the output of a git command; skip the test without the history, as in a shallow clone."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, timeout=SECONDS, check=False)
    if done.returncode or not done.stdout:
        pytest.skip(f"The previous version is not in this clone: {done.stderr.decode().strip() or 'no such commit'}")
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last commit of the previous version; it runs with the packages of this one."""
    changed = git("log", "-1", "--format=%H", "-G", '^version = "', "--", "pyproject.toml").decode().strip()
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=BytesIO(git("archive", f"{changed}^"))) as files:
        files.extractall(folder, filter="data")
    return folder


class PreviousServer(ServerProcess):
    """A server of the previous version."""

    checkout: Path

    def launch(self) -> None:
        """Start the process without waiting until it answers."""
        command = [sys.executable, "-m", self.program, "--port", str(self.port)]
        with open(self.log, "ab") as output:
            self.previous = spawn(command, env=clean_environment(**self.variables), output=output, cwd=self.checkout)
        self.process = self.previous  # type: ignore[assignment]


@pytest.fixture(scope="module")
def servers(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """The previous version creates the database and serves, then this one migrates it and serves too."""
    folder, port = tmp_path_factory.mktemp("rolling"), free_port()
    redis = RedisServer(folder)
    variables = {
        "REDIS_URL": redis.url,
        "AGENT_SESSION_STORE": "database",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "AGENT_GUARDRAIL": "off",
    }
    PreviousServer.checkout = checkout
    with database(os.environ["DATABASE_URL"]) as (_, url):
        bootstrap = clean_environment(DATABASE_URL=url, DATA_DIR=str(folder), ADMIN_PASSWORD=PASSWORD)
        command = [sys.executable, "-m", "config.runtime.bootstrap"]
        subprocess.run(command, cwd=checkout, env=bootstrap, check=True, timeout=120)
        with PreviousServer(LiveDatabase(url), folder, **variables) as previous:
            create_tables(url, folder)
            with ServerProcess(LiveDatabase(url), folder, **variables) as current:
                yield ServerPair(previous, current, redis, port, ModelServer(port=port))
    redis.kill9()


@pytest.fixture
async def pair(servers: ServerPair) -> AsyncIterator[ServerPair]:
    async with servers.with_model():
        yield servers


@pytest.mark.parametrize("starter", ["before", "now"])
async def test_turn_of_one_version_is_followed_and_stopped_in_the_other(pair: ServerPair, starter: str) -> None:
    async with pair.open_sockets() as sockets:
        here, there = sockets if starter == "before" else sockets[::-1]
        turn_id = await pair.start_turn(here)
        await wait_for_text(there, turn_id)
        await there.send("turn.stop", turn_id=turn_id)
        for socket in (here, there):
            assert (await socket.end_of(turn_id))["type"] == "turn.stopped"
        assert check_log(there.log_of(turn_id)) == check_log(here.log_of(turn_id))


@pytest.mark.parametrize("requester", ["before", "now"])
async def test_approval_requested_by_one_version_is_decided_in_the_other(pair: ServerPair, requester: str) -> None:
    async with pair.open_sockets() as sockets:
        here, there = sockets if requester == "before" else sockets[::-1]
        pair.model.play(
            text_reply("Noted."), tool_calls(Call("delete_tasks", {"numbers": [1, 2]})), text_reply("They are gone.")
        )
        await there.reply("Remember that I like tea")  # the session that the other version continues
        turn_id = (await here.accepted(await here.message("Delete everything")))["turn"]["id"]
        call_id = await pending_call_id(there, turn_id)
        await there.send("approval.decide", turn_id=turn_id, call_id=call_id, approve=True)
        for socket in (here, there):
            assert (await socket.end_of(turn_id))["message"]["text"] == "They are gone."


# The last test: it stops the server of the previous version.
async def test_turn_continues_in_this_version_when_the_previous_server_stops(pair: ServerPair) -> None:
    async with pair.open_sockets() as (previous, current):
        turn_id = await pair.start_turn(previous)
        await wait_for_text(current, turn_id)
        pair.model.play(text_reply(*WORDS))
        exit_code = asyncio.create_task(asyncio.to_thread(pair.a.terminate))
        assert await previous.closed(within=SECONDS) == 1012
        assert await exit_code == 0
        pair.model.release()
        end = await current.end_of(turn_id)
        assert end["message"]["text"] == displayed_text(current, turn_id) == REPLY
        replies = "SELECT count(*) FROM chat_message WHERE turn_id = %s AND role = 'assistant'"
        assert pair.a.database.query(replies, turn_id) == [(1,)]
