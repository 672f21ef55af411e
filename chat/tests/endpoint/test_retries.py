"""A failed model request is retried: text already shown is withdrawn, and no tool runs twice."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from chat.assistant.endpoints import retrying
from chat.infra.db_threads import in_database
from chat.models import Message, Task, ToolCall, TurnStep
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of, shown_text
from chat.tests.model_server import (
    AbortedConnection,
    Answer,
    Call,
    Fault,
    HttpError,
    ModelServer,
    Step,
    Text,
    text_reply,
    tool_calls,
)
from chat.turns.events import TurnResumed

BEFORE_ANY_TEXT: dict[str, Step] = {
    "too many requests": HttpError(429, "Slow down.", "rate_limit_exceeded"),
    "internal server error": HttpError(500),
    "bad gateway": HttpError(502),
    "service unavailable": HttpError(503),
    "gateway timeout": HttpError(504),
    "request timeout": HttpError(408),
    "a closed connection": AbortedConnection(),
    "a stream without an event": text_reply("x", fault="end"),
    "a stream cut before any event": text_reply("x", fault="cut"),
}
STREAM_FAULTS: tuple[Fault, ...] = ("cut", "end", "malformed", "failed")


@pytest.mark.parametrize("step", BEFORE_ANY_TEXT.values(), ids=BEFORE_ANY_TEXT.keys())
async def test_error_before_any_text_is_retried_without_withdrawing_text(
    online: Chat, endpoint: ModelServer, step: Step
) -> None:
    endpoint.play(step, step, text_reply("Hello"))

    events = await events_of(online, "hi")

    assert reply_of(events) == "Hello"
    assert not [event for event in events if isinstance(event, TurnResumed)], "there is no text to withdraw"
    assert len(endpoint.requests) == 3
    assert endpoint.requests[0].body == endpoint.requests[2].body


@pytest.mark.parametrize("fault", STREAM_FAULTS)
async def test_text_of_a_broken_stream_is_withdrawn_and_replaced(
    online: Chat, endpoint: ModelServer, fault: Fault
) -> None:
    endpoint.play(
        Answer(parts=(Text(("Half ", "of ", "it")),), fault=fault, after=2),
        text_reply("All ", "of it."),
    )

    events = await events_of(online, "hi")

    assert shown_text(events) == reply_of(events) == "All of it."
    (resumed,) = [event for event in events if isinstance(event, TurnResumed)]
    assert (resumed.text, resumed.at) == ("Half of ", 0)
    assert await in_database(Message.objects.filter(role="assistant").count) == 1
    assert await in_database(TurnStep.objects.count) == 1


async def test_only_the_text_of_the_broken_response_is_withdrawn(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(
        Answer(parts=(Text(("One moment.",)), Call("create_task", {"title": "Tea"}))),
        Answer(parts=(Text(("Add", "ed")),), fault="cut", after=1),
        text_reply("Tea is on the list."),
    )

    events = await events_of(online, "add tea")

    assert reply_of(events) == "One moment.\n\nTea is on the list."
    (resumed,) = [event for event in events if isinstance(event, TurnResumed)]
    assert (resumed.text, resumed.at) == ("One moment.\n\nAdd", len("One moment."))
    assert [tool.name for tool in resumed.tools] == ["create_task"]
    assert await in_database(Task.objects.count) == 1
    assert await in_database(ToolCall.objects.count) == 1
    assert await in_database(TurnStep.objects.count) == 2


@pytest.mark.parametrize("fault", STREAM_FAULTS)
@pytest.mark.parametrize("after", [1, 99])
async def test_tool_call_of_a_broken_response_never_runs(
    online: Chat, endpoint: ModelServer, fault: Fault, after: int
) -> None:
    endpoint.play(
        tool_calls(
            Call("create_task", {"title": "Teapot"}),
            Call("create_task", {"title": "Cups"}),
            fault=fault,
            after=after,
        ),
        tool_calls(Call("create_task", {"title": "Tea"})),
        text_reply("Added."),
    )

    assert reply_of(await events_of(online, "add tea")) == "Added."
    assert [task.title for task in await in_database(lambda: list(Task.objects.all()))] == ["Tea"]
    assert await in_database(ToolCall.objects.count) == 1


async def test_partial_text_is_removed_if_the_retry_returns_only_calls(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(
        text_reply("I will ", "look", fault="cut", after=1),
        tool_calls(Call("list_tasks", {})),
        text_reply("Nothing to do."),
    )

    events = await events_of(online, "what is there?")

    assert shown_text(events) == reply_of(events) == "Nothing to do."


async def test_withdrawn_text_is_not_a_reply(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(text_reply("I will ", "look", fault="cut", after=1), Answer(parts=()))

    events = await events_of(online, "what is there?")

    assert getattr(events[-1], "detail", None) == "The assistant gave no answer."
    assert shown_text(events) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "1"},
        {"retry-after-ms": "1000"},
        {"retry-after": format_datetime(datetime.now(UTC) + timedelta(days=1))},
    ],
    ids=["seconds", "milliseconds", "a day from now"],
)
async def test_retry_waits_as_long_as_retry_after_requests(
    online: Chat, endpoint: ModelServer, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_a_date = "GMT" in headers.get("retry-after", "") or "+0000" in headers.get("retry-after", "")
    endpoint.play(HttpError(429, "Slow down.", headers=headers))
    if not at_a_date:
        endpoint.play(text_reply("Hello"))

    started = time.monotonic()
    last = (await events_of(online, "hi"))[-1]

    if at_a_date:
        assert "busy at the moment. Please try again in 24 hours." in getattr(last, "detail", ""), (
            "a turn does not wait for a day"
        )
        assert len(endpoint.requests) == 1
    else:
        assert len(endpoint.requests) == 2
        assert time.monotonic() - started >= 1


@pytest.mark.parametrize("retry_after", ["soon", "nan", "-5", "", "1e999"])
async def test_invalid_retry_after_is_ignored(online: Chat, endpoint: ModelServer, retry_after: str) -> None:
    endpoint.play(HttpError(429, "Slow down.", headers={"retry-after": retry_after}), text_reply("Hello"))

    started = time.monotonic()
    assert reply_of(await events_of(online, "hi")) == "Hello"
    assert time.monotonic() - started < 5


async def test_turn_succeeds_after_a_short_outage_of_the_endpoint(
    online: Chat, endpoint: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.2)
    endpoint.play(text_reply("Hello"))
    await endpoint.refuse()

    accepted = await online.send("hi")
    await restart_endpoint_later(endpoint)
    events = [entry.event for entry in await online.follow_to_end(accepted.turn)]

    assert reply_of(events) == "Hello"


async def restart_endpoint_later(endpoint: ModelServer) -> None:
    """Let a few attempts fail before the endpoint accepts connections again."""
    await asyncio.sleep(0.3)
    await endpoint.listen()
