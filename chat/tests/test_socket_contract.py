"""The websocket behaves as docs/reference/websocket.md documents, frame by frame, over a real server."""

import json
import uuid
from collections.abc import AsyncIterator

import pytest

from chat.tests.live import Frame, LiveSocket, Person, check_log, is_end, open_socket, sign_in
from config.tests.support import ServerProcess

pytestmark = pytest.mark.service

UNKNOWN_ID = uuid.UUID(int=7)
MESSAGE_FIELDS = {"id", "role", "text", "created_at", "position", "turn_id"}


@pytest.fixture(scope="module")
def person(shared_server: ServerProcess) -> Person:
    return sign_in(shared_server)


@pytest.fixture
async def socket(shared_server: ServerProcess, person: Person) -> AsyncIterator[LiveSocket]:
    async with open_socket(shared_server, person, uuid.uuid4()) as opened:
        await opened.ready()
        yield opened


def count_messages(server: ServerProcess, conversation_id: object) -> int:
    ((count,),) = server.database.query(
        "SELECT count(*) FROM chat_message WHERE conversation_id = %s", str(conversation_id)
    )
    return int(count)


async def test_new_conversation_sends_ready(socket: LiveSocket) -> None:
    ready = {"type": "ready", "protocol": 1, "conversation": None, "turns": [], "tasks_revision": 0}
    assert socket.frames == [ready]


async def test_message_is_acknowledged_and_answered(socket: LiveSocket) -> None:
    client_id = await socket.message("Add a task to buy 🎉 and 🧵🧵 for the party")
    accepted = await socket.accepted(client_id)
    end = await socket.end_of(accepted["turn"]["id"])

    message, turn = accepted["message"], accepted["turn"]
    assert set(accepted) == {"type", "client_id", "message", "turn"}
    assert set(message) == MESSAGE_FIELDS
    assert (message["role"], message["position"], message["turn_id"]) == ("user", 1, turn["id"])
    assert (turn["status"], turn["ahead"]) == ("running", 0)

    log = socket.log_of(turn["id"])
    assert check_log(log) == end["message"]["text"]
    assert [frame["type"] for frame in log if frame["type"] != "text.delta"] == [
        "turn.started",
        "tool.started",
        "tool.finished",
        "turn.finished",
    ]
    started, finished = log[1], log[2]
    assert started["call_id"] == finished["call_id"]
    assert started["name"] == "create_task"
    assert "🧵🧵" in started["arguments"]["title"] and "🧵🧵" in end["message"]["text"]
    assert json.loads(finished["output"])["ok"] is True
    assert set(end["message"]) == MESSAGE_FIELDS
    assert (end["message"]["role"], end["message"]["position"], end["message"]["turn_id"]) == (
        "assistant",
        2,
        turn["id"],
    )
    assert set(end["usage"]) == {"input_tokens", "output_tokens"}

    tasks = await socket.until(lambda frame: frame["type"] == "tasks.changed")
    assert [task["number"] for task in tasks["tasks"]][-1] == json.loads(finished["output"])["task"]["number"]
    updated = await socket.until(lambda frame: frame["type"] == "conversation.updated")
    state_fields = {"pinned", "archived", "trashed", "trash_on", "purge_on", "model", "waiting"}
    assert set(updated["conversation"]) == {"id", "title", "created_at", "updated_at", *state_fields}
    assert updated["conversation"]["title"] == "Add a task to buy 🎉 and 🧵🧵 for the party"
    assert socket.kinds().index("message.accepted") < socket.kinds().index("turn.started")


async def test_repeated_client_id_is_acknowledged_again_without_a_second_turn(
    shared_server: ServerProcess, socket: LiveSocket
) -> None:
    client_id = uuid.uuid4()
    log = await socket.send_and_wait("What do I still have to do?")
    first = await socket.accepted(await socket.message("hello", client_id))
    await socket.end_of(first["turn"]["id"])
    await socket.until(lambda frame: frame["type"] == "conversation.updated")
    await socket.pong()
    before, messages = len(socket.frames), count_messages(shared_server, socket.conversation_id)

    await socket.message("something else", client_id)
    await socket.pong()

    again = [frame for frame in socket.frames[before:] if frame["type"] not in ("pong", "conversation.updated")]
    assert [(frame["type"], frame["client_id"], frame["message"], frame["turn"]["id"]) for frame in again] == [
        ("message.accepted", str(client_id), first["message"], first["turn"]["id"])
    ]
    assert count_messages(shared_server, socket.conversation_id) == messages == 4
    assert is_end(log[-1])


async def test_second_tab_gets_the_message_and_the_whole_log(
    shared_server: ServerProcess, person: Person, socket: LiveSocket
) -> None:
    async with open_socket(shared_server, person, socket.conversation_id) as tab:
        await tab.ready()
        client_id = await socket.message("Add a task to water the plants")
        tab_accepted = await tab.accepted(client_id)
        turn_id = tab_accepted["turn"]["id"]
        await tab.end_of(turn_id)
        await socket.end_of(turn_id)

        assert tab_accepted["message"] == (await socket.accepted(client_id))["message"]
        assert check_log(tab.log_of(turn_id)) == check_log(socket.log_of(turn_id))
        await tab.until(lambda frame: frame["type"] == "tasks.changed")
        await tab.until(lambda frame: frame["type"] == "conversation.updated")
        assert [frame["client_id"] for frame in tab.frames if frame["type"] == "message.accepted"] == [client_id]
    assert socket.kinds().count("message.accepted") == 1


async def test_late_follower_gets_exactly_the_remaining_frames(
    shared_server: ServerProcess, person: Person, socket: LiveSocket
) -> None:
    log = await socket.send_and_wait("Add two tasks: book a table 🎂, call Mum")
    turn_id, last, text = log[-1]["turn_id"], log[-1]["n"], check_log(log)
    async with open_socket(shared_server, person, socket.conversation_id) as late:
        await late.ready()
        for after in range(last):
            before = len(late.frames)
            await late.send("log.follow", turn_id=turn_id, attempt=1, after=after)
            await late.until(is_end, after=before)
            rest = [frame for frame in late.frames[before:] if frame.get("turn_id") == turn_id]
            check_rest(rest, after, text)
            assert rest[-1] == log[-1]
        before = len(late.frames)
        await late.send("log.follow", turn_id=turn_id, attempt=1, after=last)
        await late.pong()
        assert [frame["type"] for frame in late.frames[before:]] == ["pong"]


def check_rest(rest: list[Frame], after: int, text: str) -> None:
    seen, at = after, None
    for frame in rest:
        if frame["type"] == "text.delta":
            assert frame["n"] > seen
            assert at in (None, frame["at"])
            at = frame["at"] + len(frame["text"])
            assert text[frame["at"] : at] == frame["text"]
        else:
            assert frame["n"] == seen + 1
        seen = frame["n"]
    assert at in (None, len(text))


@pytest.mark.parametrize(("attempt", "after"), [(1, 9_999), (7, 1)])
async def test_unknown_attempt_or_position_is_answered_with_one_snapshot(
    socket: LiveSocket, attempt: int, after: int
) -> None:
    log = await socket.send_and_wait("Add a task to sweep the yard")
    turn_id, before = log[-1]["turn_id"], len(socket.frames)

    await socket.send("log.follow", turn_id=turn_id, attempt=attempt, after=after)
    snapshot = await socket.until(lambda frame: frame["type"] == "turn.snapshot")
    await socket.pong()

    assert len([frame for frame in socket.frames[before:] if frame.get("turn_id") == turn_id]) == 1
    assert (snapshot["turn_id"], snapshot["attempt"], snapshot["n"]) == (turn_id, 1, log[-1]["n"])
    assert (snapshot["status"], snapshot["text"]) == ("done", check_log(log))
    assert [tool["name"] for tool in snapshot["tools"]] == ["create_task"]
    assert snapshot["message"] == log[-1]["message"]


async def test_ping_is_answered_with_pong(socket: LiveSocket) -> None:
    await socket.send("ping", n=42)
    await socket.until(lambda frame: frame == {"type": "pong", "n": 42})


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("message.edit", {"message_id": UNKNOWN_ID, "client_id": UNKNOWN_ID, "text": "x"}, "not_found"),
        ("message.edit", {"message_id": UNKNOWN_ID, "client_id": UNKNOWN_ID, "text": " "}, "empty"),
        ("approval.decide", {"turn_id": UNKNOWN_ID, "call_id": "c", "approve": True}, "not_found"),
        ("approval.decide", {"turn_id": UNKNOWN_ID, "call_id": "\0", "approve": True}, "bad_frame"),
        ("approval.decide", {"turn_id": UNKNOWN_ID, "call_id": "c" * 129, "approve": True}, "bad_frame"),
        ("approval.decide", {"turn_id": UNKNOWN_ID, "call_id": "c", "approve": "yes"}, "bad_frame"),
        ("approval.decide", {"turn_id": UNKNOWN_ID, "approve": True}, "bad_frame"),
        ("message.edit", {"message_id": "1", "client_id": UNKNOWN_ID, "text": "x"}, "bad_frame"),
        ("message.edit", {"client_id": UNKNOWN_ID, "text": "x"}, "bad_frame"),
        ("message.send", {"client_id": UNKNOWN_ID}, "bad_frame"),
        ("message.send", {"client_id": UNKNOWN_ID, "text": 5}, "bad_frame"),
        ("message.send", {"client_id": UNKNOWN_ID, "text": ""}, "empty"),
        ("message.send", {"client_id": UNKNOWN_ID, "text": "🎉" * 10_001}, "too_long"),
        ("message.send", {"client_id": UNKNOWN_ID, "text": "nul \0"}, "bad_frame"),
        ("turn.stop", {"turn_id": UNKNOWN_ID}, "not_found"),
        ("turn.retry", {"turn_id": UNKNOWN_ID, "client_id": UNKNOWN_ID}, "not_found"),
        ("log.follow", {"turn_id": UNKNOWN_ID, "attempt": 1, "after": 0}, "not_found"),
        ("log.follow", {"turn_id": UNKNOWN_ID, "attempt": -1, "after": 0}, "bad_frame"),
    ],
)
async def test_invalid_frame_gets_an_error_code(
    socket: LiveSocket, kind: str, fields: dict[str, object], code: str
) -> None:
    await socket.send(kind, **fields)
    error = await socket.error()

    assert error["code"] == code
    assert error["detail"].endswith(".")
    assert error.get("client_id") == (str(UNKNOWN_ID) if "client_id" in fields else None)
    await socket.pong()


async def test_binary_frame_closes_the_socket(socket: LiveSocket) -> None:
    await socket.connection.send(b"\x00\x01")

    assert await socket.closed() == 4400


@pytest.mark.parametrize(
    "cookie", ["", "sessionid=", "sessionid=short", f"sessionid={'x' * 32}", 'sessionid="\\000aaaaaaaaaaaaaaa"']
)
async def test_socket_without_a_valid_session_is_closed(shared_server: ServerProcess, cookie: str) -> None:
    async with open_socket(shared_server, Person(UNKNOWN_ID, "", cookie), uuid.uuid4()) as socket:
        assert await socket.closed() == 4401
        assert socket.frames == []


async def test_invalid_conversation_id_in_path_is_rejected(shared_server: ServerProcess, person: Person) -> None:
    for name in ("x", "-" * 36, f"{uuid.uuid4()}x"):
        with pytest.raises(Exception, match="HTTP 403"):
            async with open_socket(shared_server, person, name):  # type: ignore[arg-type]
                pass
