"""The whole product against model endpoints in separate processes: the test server, llama.cpp and LiteLLM's proxy.

The tests check what the product does with a small model's answers, not the answers themselves.
"""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from chat.tests.conversation_checks import Conversation
from chat.tests.endpoint.programs import LiteLlm, LlamaServer
from chat.tests.live import Frame, LiveSocket, is_end, open_socket, sign_in
from chat.tests.model_server import Api
from config.runtime.processes import spawn
from config.tests.support import ROOT, LiveDatabase, ServerProcess, clean_environment, eventually

pytestmark = [pytest.mark.service, pytest.mark.long]

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


async def test_conversation_and_tasks_survive_a_kill(
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


def test_script_file_is_played_in_a_loop(start_endpoint: StartEndpoint, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"status": 503}, {"text": ["Hel", "lo"], "delay": 0.01}]))
    url, headers = start_endpoint("--script", str(script)), {"Authorization": f"Bearer {KEY}"}
    body = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}
    answers = [httpx.post(f"{url}/chat/completions", json=body, headers=headers, timeout=60) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 200] * 2
    assert answers[3].json()["choices"][0]["message"]["content"] == "Hello"


# Third-party servers.

TURN_TIMEOUT = 300.0
TITLES = ["buy tea", "water the plants", "pay the rent", "wash the car"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """llama.cpp's server with a context for a long conversation."""
    with LlamaServer(tmp_path_factory.mktemp("llama"), context=8192, longest=200) as server:
        yield server


@pytest.fixture(scope="module")
def litellm(llama: LlamaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteLlm]:
    """LiteLLM's proxy in front of llama.cpp's server."""
    with LiteLlm(tmp_path_factory.mktemp("litellm"), llama.url) as server:
        yield server


@pytest.fixture(params=["llama, chat_completions", "llama, responses", "litellm, chat_completions"])
def product(request: pytest.FixtureRequest, live_database: LiveDatabase, tmp_path: Path) -> Iterator[ServerProcess]:
    """The product with a third-party server as its model's endpoint."""
    program, api = request.param.split(", ")
    url = request.getfixturevalue(program).url
    server = _serve(live_database, tmp_path, url, AGENT_API=api, OPENAI_API_KEY=LiteLlm.KEY)
    yield server
    server.kill9()


async def test_twenty_turns_with_a_stop_and_a_kill_on_a_third_party_server(product: ServerProcess) -> None:
    person, conversation = sign_in(product), uuid.uuid4()
    evidence = Conversation(product.database, product.data_dir / "agent_sessions.db", person.id, conversation)

    async with open_socket(product, person, conversation) as socket:
        await socket.ready()
        for title in TITLES:
            assert (await _send(socket, f"Add a task to {title}"))["type"] == "turn.finished"
        for n in range(13):
            assert (await _send(socket, f"Thank you, {n}"))["type"] == "turn.finished"
        stopped = await _start_reply(socket, "What is on my list?")
        await socket.send("turn.stop", turn_id=stopped)
        # A short reply may finish before the stop.
        assert (await socket.end_of(stopped, within=TURN_TIMEOUT))["type"] in ("turn.stopped", "turn.finished")
        await _start_reply(socket, "What is on my list, again?")
    product.kill9()
    product.restart()

    async with open_socket(product, person, conversation) as socket:
        await socket.ready()
        assert (await _send(socket, "Add a task to post the letter"))["type"] == "turn.finished"
    statuses = product.database.query("SELECT status FROM chat_turn ORDER BY seq")
    assert [status for (status,) in statuses if status != "stopped"] == ["done"] * (20 - statuses.count(("stopped",)))
    titles = [title.lower() for (title,) in product.database.query("SELECT title FROM chat_task")]
    assert any("tea" in title for title in titles), titles
    assert len(titles) == len(product.database.query("SELECT 1 FROM chat_toolcall WHERE name = 'create_task'"))
    evidence.check_session()


async def test_conversation_continues_after_calls_cut_off_by_the_answer_limit(
    live_database: LiveDatabase, tmp_path: Path, api: Api
) -> None:
    with LlamaServer(tmp_path, context=8192, longest=24) as llama:
        server = _serve(live_database, tmp_path, llama.url, AGENT_API=api)
        try:
            async with open_socket(server, sign_in(server), uuid.uuid4()) as socket:
                await socket.ready()
                await _send(socket, "Add a task to buy tea")
                end = await _send(socket, "Thank you")
        finally:
            server.kill9()

    assert end["type"] == "turn.finished", end


async def test_conversation_larger_than_the_context_continues(live_database: LiveDatabase, tmp_path: Path) -> None:
    with LlamaServer(tmp_path, context=640, longest=80) as llama:
        server = _serve(live_database, tmp_path, llama.url, AGENT_API="chat_completions")
        try:
            async with open_socket(server, sign_in(server), uuid.uuid4()) as socket:
                await socket.ready()
                ends = [await _send(socket, f"What is on my list, {n}?") for n in range(12)]
        finally:
            server.kill9()

    assert [end["type"] for end in ends] == ["turn.finished"] * 12, ends[-1]


def _serve(database: LiveDatabase, folder: Path, url: str, **variables: str) -> ServerProcess:
    model = {"OPENAI_BASE_URL": url, "AGENT_MODEL": "smol", "AGENT_GUARDRAIL": "off", "AGENT_MODEL_TIMEOUT": "120"}
    return ServerProcess(database, folder, **model, **variables)


async def _send(socket: LiveSocket, text: str) -> Frame:
    """Send a message and return the last frame of its turn."""
    accepted = await socket.accepted(await socket.message(text))
    return await socket.end_of(accepted["turn"]["id"], within=TURN_TIMEOUT)


async def _start_reply(socket: LiveSocket, text: str) -> str:
    """Send a message and return its turn's id as soon as the reply starts."""
    turn_id: str = (await socket.accepted(await socket.message(text)))["turn"]["id"]

    def replies(frame: Frame) -> bool:
        return frame.get("turn_id") == turn_id and (frame["type"] == "text.delta" or is_end(frame))

    first = await socket.until(replies, within=TURN_TIMEOUT)
    assert first["type"] == "text.delta", first
    return turn_id
