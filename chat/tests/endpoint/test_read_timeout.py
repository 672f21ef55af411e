"""A request without data for AGENT_MODEL_TIMEOUT seconds is aborted and retried."""

import asyncio

import pytest

from chat.assistant.endpoints import retrying
from chat.infra.db_threads import in_database
from chat.models import Task, TurnStep
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of, shown_text
from chat.tests.model_server import Answer, Call, ModelServer, Text, text_reply, tool_calls
from chat.turns.events import TextDelta, TurnResumed, TurnStopped
from chat.turns.follow import follow


@pytest.fixture
def read_timeout() -> float:
    """A short timeout, because these tests wait for it."""
    return 0.8


async def test_text_of_a_stalled_stream_is_withdrawn_and_replaced(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(
        Answer(parts=(Text(("One moment.",)), Call("create_task", {"title": "Tea"}))),
        text_reply("Add", "ed", fault="stall", after=1),
        text_reply("Tea is on the list."),
    )

    events = await events_of(online, "add tea")

    assert shown_text(events) == reply_of(events) == "One moment.\n\nTea is on the list."
    (resumed,) = [event for event in events if isinstance(event, TurnResumed)]
    assert (resumed.text, resumed.at) == ("One moment.\n\nAdd", len("One moment."))
    assert await in_database(Task.objects.count) == 1
    assert await in_database(TurnStep.objects.count) == 2
    assert endpoint.abandoned_streams == 1, "the silent connection was closed"


async def test_tool_call_that_stalls_halfway_never_runs(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(
        tool_calls(Call("create_task", {"title": "Teapot"}), fault="stall", after=2),
        tool_calls(Call("create_task", {"title": "Tea"})),
        text_reply("Added."),
    )

    assert reply_of(await events_of(online, "add tea")) == "Added."
    assert [task.title for task in await in_database(lambda: list(Task.objects.all()))] == ["Tea"]


async def test_slow_but_steady_stream_is_not_aborted(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(text_reply("a", "b", "c", "d", "e", delay=0.3))

    assert reply_of(await events_of(online, "hi")) == "abcde"
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("read_timeout", [30.0])
async def test_keepalive_comments_do_not_extend_a_request_forever(
    online: Chat, endpoint: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "LONGEST_SILENCE", 0.5)
    endpoint.play(text_reply("Add", "ed", fault="ping", after=1), text_reply("Tea is on the list."))

    assert reply_of(await events_of(online, "add tea")) == "Tea is on the list."
    assert endpoint.abandoned_streams == 1


@pytest.mark.parametrize("read_timeout", [30.0])
async def test_stopping_a_turn_closes_its_connection(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(text_reply("Once ", "upon", fault="stall", after=1))
    accepted = await online.send("tell me")
    async for batch in follow(online.runner.logs, accepted.turn.pk):
        if any(isinstance(entry.event, TextDelta) for entry in batch.entries):
            break

    await online.runner.stop(user_id=online.user.pk, conversation_id=online.conversation_id, turn_id=accepted.turn.pk)

    last = (await online.follow_to_end(accepted.turn))[-1].event
    assert isinstance(last, TurnStopped)
    assert last.message is not None and last.message.text == "Once "
    async with asyncio.timeout(2):
        while not endpoint.abandoned_streams:
            await asyncio.sleep(0.01)
