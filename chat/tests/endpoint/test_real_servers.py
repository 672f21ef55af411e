"""The whole product against a model's endpoint in a process of its own: talk, kill -9, and it still remembers."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chat.tests.live import open_socket, sign_in
from chat.tests.model_server import Api
from config.processes import spawn
from config.tests.support import ROOT, LiveDatabase, ServerProcess, clean_environment, eventually

pytestmark = pytest.mark.service

KEY = "sk-real-process"
StartEndpoint = Callable[..., str]


@pytest.fixture
def start_endpoint(tmp_path: Path) -> Iterator[StartEndpoint]:
    """Start model servers from the command line; each call returns a base URL."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> str:
        log = tmp_path / f"endpoint-{len(started)}.log"
        with log.open("ab") as output:
            line = [sys.executable, "-m", "chat.tests.model_server", "--key", KEY, *options]
            started.append(spawn(line, env=clean_environment(), output=output, cwd=ROOT))
        address: str = eventually(lambda: log.read_text().partition("\n")[0], what="the model server's address")
        return address

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_the_product_talks_remembers_and_survives_a_kill(
    start_endpoint: StartEndpoint, live_database: LiveDatabase, tmp_path: Path, api: Api
) -> None:
    server = ServerProcess(live_database, tmp_path, OPENAI_BASE_URL=start_endpoint(), OPENAI_API_KEY=KEY, AGENT_API=api)
    try:
        person, conversation = sign_in(server), uuid.uuid4()
        async with open_socket(server, person, conversation) as socket:
            await socket.ready()
            await socket.reply("Add a task to buy groceries for the party")
            await socket.reply("Actually, make that due tomorrow")
        server.kill9()
        server.restart()

        async with open_socket(server, person, conversation) as socket:
            await socket.ready()
            assert "groceries" in (await socket.reply("What was the first thing I asked you to do?")).lower()
        ((title, due),) = live_database.query("SELECT title, due_date FROM chat_task")
        assert title.lower() == "buy groceries for the party"
        assert due is not None
        assert KEY not in server.output
    finally:
        server.kill9()


async def test_a_script_from_a_file_is_played_over_and_over(
    start_endpoint: StartEndpoint, live_database: LiveDatabase, tmp_path: Path
) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"status": 503}, {"text": ["Hel", "lo"], "delay": 0.01}]))
    server = ServerProcess(
        live_database,
        tmp_path,
        OPENAI_BASE_URL=start_endpoint("--script", str(script)),
        OPENAI_API_KEY=KEY,
        AGENT_GUARDRAIL="off",
    )
    try:
        async with open_socket(server, sign_in(server), uuid.uuid4()) as socket:
            await socket.ready()
            assert [await socket.reply("hi"), await socket.reply("again")] == ["Hello", "Hello"]
    finally:
        server.kill9()


def test_a_script_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text("{}")

    done = subprocess.run(
        [sys.executable, "-m", "chat.tests.model_server", "--script", str(script)],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (1, "A script is a list of objects.\n")
