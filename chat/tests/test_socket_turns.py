"""Turns are queued, followed, stopped, failed and retried over the websocket while a model is slow."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from chat.tests.live import LiveSocket, Person, ScriptedServer, check_log, endpoint, open_socket, sign_in
from chat.tests.model_server import Call, HttpError, ModelServer, Request, text_reply, tool_calls
from chat.tests.model_server.script import Step

pytestmark = pytest.mark.service

__all__ = ["endpoint"]

STALLS = text_reply("Once upon ", "a 🧵 time", fault="stall", after=2)


@pytest.fixture(scope="module")
def person(scripted_server: ScriptedServer) -> Person:
    return sign_in(scripted_server.server)


@pytest.fixture
async def socket(scripted_server: ScriptedServer, person: Person, endpoint: ModelServer) -> AsyncIterator[LiveSocket]:
    async with open_socket(scripted_server.server, person, uuid.uuid4()) as opened:
        await opened.ready()
        yield opened


async def start_turn(socket: LiveSocket, text: str = "hi") -> str:
    """Send a message, wait for all the text of the stalling model, and return the turn's id."""
    turn_id = str((await socket.accepted(await socket.message(text)))["turn"]["id"])
    await socket.until(lambda frame: frame.get("turn_id") == turn_id and "time" in frame.get("text", ""))
    return turn_id


async def test_queued_messages_are_answered_in_order(socket: LiveSocket, endpoint: ModelServer) -> None:
    release = asyncio.Event()

    async def reply_when_released(request: Request) -> Step:
        await release.wait()
        return text_reply("You said ", request.last_user_text)

    endpoint.rule = reply_when_released
    accepted = [await socket.accepted(await socket.message(f"message {n}")) for n in range(4)]
    turns = [frame["turn"] for frame in accepted]
    assert [(turn["status"], turn["ahead"]) for turn in turns] == [
        ("running", 0),
        ("queued", 1),
        ("queued", 2),
        ("queued", 3),
    ]
    assert [frame["message"]["position"] for frame in accepted] == [1, 2, 3, 4]
    release.set()
    ends = [await socket.end_of(turn["id"]) for turn in turns]

    assert [end["message"]["text"] for end in ends] == [f"You said message {n}" for n in range(4)]
    for turn in turns:
        log = socket.log_of(turn["id"])
        check_log(log)
        assert [frame["type"] for frame in log[:2]] == (
            ["turn.started", "text.delta"] if turn is turns[0] else ["turn.queued", "turn.started"]
        )
    logged = [frame["turn_id"] for frame in socket.frames if frame["type"] in ("turn.started", "turn.finished")]
    assert logged == [turn["id"] for turn in turns for _ in range(2)], "one after another"


async def test_socket_opened_during_a_turn_gets_its_whole_log(
    scripted_server: ScriptedServer, person: Person, socket: LiveSocket, endpoint: ModelServer
) -> None:
    endpoint.play(STALLS)
    turn_id = await start_turn(socket)
    conversation_id = (await socket.until(lambda frame: frame["type"] == "conversation.updated"))["conversation"]["id"]

    async with open_socket(scripted_server.server, person, uuid.UUID(conversation_id)) as tab:
        ready = await tab.ready()
        assert ready["turns"] == [{"id": turn_id, "status": "running", "n": 3}]
        assert ready["conversation"]["id"] == conversation_id
        await tab.until(lambda frame: "time" in frame.get("text", ""))
        await tab.send("turn.stop", turn_id=turn_id)
        await tab.end_of(turn_id)
        await socket.end_of(turn_id)
        assert check_log(tab.log_of(turn_id)) == check_log(socket.log_of(turn_id)) == "Once upon a 🧵 time"


async def test_following_again_replaces_the_previous_follower(socket: LiveSocket, endpoint: ModelServer) -> None:
    endpoint.play(STALLS)
    turn_id = await start_turn(socket)
    before = len(socket.frames)

    await socket.send("log.follow", turn_id=turn_id, attempt=1, after=2)
    await socket.until(lambda frame: frame.get("turn_id") == turn_id, after=before)
    await socket.send("turn.stop", turn_id=turn_id)
    await socket.until(lambda frame: frame["type"] == "turn.stopped")
    await socket.pong()

    again = [frame for frame in socket.frames[before:] if frame.get("turn_id") == turn_id]
    assert [(frame["n"], frame["type"]) for frame in again] == [(3, "text.delta"), (4, "turn.stopped")]
    assert (again[0]["at"], again[0]["text"]) == (10, "a 🧵 time")


async def test_retry_of_a_failed_turn_does_not_repeat_tool_calls(
    scripted_server: ScriptedServer, socket: LiveSocket, endpoint: ModelServer
) -> None:
    title = f"Buy milk {uuid.uuid4()}"
    endpoint.play(tool_calls(Call("create_task", {"title": title})), HttpError(400, "no"))
    accepted = await socket.accepted(await socket.message("Add milk"))
    failed = await socket.end_of(accepted["turn"]["id"])
    assert failed["type"] == "turn.failed"
    assert set(failed) == {"type", "turn_id", "attempt", "n", "code", "detail", "retryable"}
    assert failed["detail"].endswith(".")

    endpoint.play(text_reply("Added."))
    client_id = uuid.uuid4()
    await socket.send("turn.retry", turn_id=failed["turn_id"], client_id=client_id)
    again = await socket.accepted(str(client_id))
    await socket.end_of(again["turn"]["id"])
    before = len(socket.frames)
    await socket.send("turn.retry", turn_id=failed["turn_id"], client_id=client_id)
    await socket.until(lambda frame: frame["type"] == "message.accepted", after=before)
    await socket.pong()

    assert again["turn"]["id"] != failed["turn_id"]
    assert again["message"] == accepted["message"]
    log = socket.log_of(again["turn"]["id"])
    assert [frame["type"] for frame in log] == ["turn.started", "turn.resumed", "text.delta", "turn.finished"]
    resumed = log[1]
    assert (resumed["text"], resumed["at"], [tool["name"] for tool in resumed["tools"]]) == ("", 0, ["create_task"])
    assert check_log(log) == "Added."
    ((tasks,),) = scripted_server.server.database.query("SELECT count(*) FROM chat_task WHERE title = %s", title)
    assert tasks == 1
    assert len(endpoint.requests) == 3
