"""A request holds as much of the conversation as fits the model's context; dropping older turns warns the user."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from chat.assistant.endpoints.context_window import (
    TOO_LONG_ANSWER,
    TOO_LONG_MESSAGE,
    TOO_MUCH_READ,
    TOO_SMALL,
    Window,
    size_of,
)
from chat.assistant.endpoints.request_size import Sent
from chat.assistant.model_config import learned
from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.memory.items import faults
from chat.models import Turn
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, failure_of, reply_of
from chat.tests.model_server import Answer, Call, HttpError, ModelServer, Request, Step, Text, text_reply, tool_calls
from chat.turns.events import Event, TurnFinished, Warned

LONG = "word " * 600  # 1,000 tokens by the product's estimate, 600 by the endpoint's


@pytest.fixture(autouse=True)
def _nothing_learned() -> Iterator[None]:
    """Forget what was learned about the model before and after each test."""
    learned.cache_clear()
    yield
    learned.cache_clear()


@pytest.fixture
def context_tokens() -> int:
    """The configured context size of the model."""
    return 32_000


@pytest.fixture
def configured(configured: None, context_tokens: int, settings: Settings) -> None:
    """Configure the model with that context size."""
    settings.AGENT_CONTEXT_TOKENS = context_tokens


def tokens_in(request: Request) -> int:
    """Count the tokens of a request as the test endpoint does: one per five characters."""
    return len(str(request.body)) // 5


def echoing(limit: int | None = None, refusal: HttpError | None = None) -> Any:
    """Answer with a long text and the request's size; refuse requests over the limit."""

    async def rule(request: Request) -> Step:
        if limit is not None and tokens_in(request) > limit:
            return refusal or HttpError(400, f"maximum context length is {limit} tokens", "context_length_exceeded")
        return Answer(parts=(Text((LONG, "Done.")),), input_tokens=tokens_in(request))

    return rule


def user_messages_in(request: Request) -> list[str]:
    """Return the beginning of each user message in a request."""
    return [str(item["content"])[:7].strip() for item in request.items if item.get("role") == "user"]


def warnings(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Warned)]


async def session_size(chat: Chat) -> int:
    """Count the items in the session file."""
    return len(await chat.runner.store.rows(str(SessionId(chat.user.pk, chat.conversation_id))))


@pytest.mark.parametrize("context_tokens", [12_000])
async def test_old_turns_are_left_out_of_requests_but_stay_in_the_session(
    online: Chat, endpoint: ModelServer, context_tokens: int
) -> None:
    endpoint.rule = echoing()
    warned: list[list[str]] = []
    for turn in range(20):
        warned.append(warnings(await events_of(online, f"Turn {turn:2}")))

    for request in endpoint.requests:
        assert tokens_in(request) <= context_tokens
        assert faults(request.items) == {}
    first_messages = [user_messages_in(request)[0] for request in endpoint.requests]
    assert first_messages[0] == "Turn  0"
    assert await session_size(online) == 40, "the session keeps the turns that requests leave out"
    shortened = [first_messages[n] != first_messages[n - 1] for n in range(1, 20)]
    assert [bool(codes) for codes in warned[1:]] == shortened, (
        "a warning exactly when the request starts at a later turn"
    )
    assert 2 <= sum(shortened) <= 6, "the start of the request moves only occasionally"
    turns = await in_database(lambda: list(Turn.objects.order_by("seq").values_list("warning", flat=True)))
    assert [bool(warning) for warning in turns] == [False, *shortened]
    assert "no longer remembered" in endpoint.requests[-1].instructions


@pytest.mark.parametrize("context_tokens", [12_000])
async def test_reported_tokens_correct_the_estimate(online: Chat, endpoint: ModelServer) -> None:
    async def costly(request: Request) -> Step:
        return Answer(parts=(Text((LONG,)),), input_tokens=3 * tokens_in(request))

    endpoint.rule = costly
    for turn in range(8):
        await events_of(online, f"Turn {turn}")

    assert all(3 * tokens_in(request) <= 12_000 for request in endpoint.requests)


async def test_model_with_a_larger_context_gets_older_turns_again(
    online: Chat, endpoint: ModelServer, settings: Settings
) -> None:
    endpoint.rule = echoing(limit=6_000)
    for turn in range(10):
        await events_of(online, f"Turn {turn}")
    assert len(user_messages_in(endpoint.requests[-1])) < 10

    learned.cache_clear()
    endpoint.rule = echoing()
    events = await events_of(online, "Turn 10")

    assert len(user_messages_in(endpoint.requests[-1])) == 11
    assert warnings(events) == []


REFUSALS = {
    "with limit and size": HttpError(
        400, "This model's maximum context length is 6000 tokens. However, your messages resulted in 6400 tokens."
    ),
    "with only a code": HttpError(
        400, "Your input exceeds the context window of this model.", "context_length_exceeded"
    ),
    "from a proxy": HttpError(413, "Request Entity Too Large"),
    "from llama.cpp": HttpError(500, "Context size has been exceeded."),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
async def test_refused_request_is_shortened_within_the_turn(
    online: Chat, endpoint: ModelServer, refusal: HttpError
) -> None:
    endpoint.rule = echoing(limit=6_000, refusal=refusal)
    warned = []
    for turn in range(9):
        events = await events_of(online, f"Turn {turn}")
        assert reply_of(events).endswith("Done.")
        warned += warnings(events)

    assert len(endpoint.requests) <= 9 + 3, "the limit is remembered"
    known = learned("stub-1").context_tokens
    assert known is not None
    assert known < 8_000
    assert await in_database(Turn.objects.exclude(status="done").exists) is False
    assert set(warned) == {"context_shortened"}
    assert len(warned) < 4


async def test_context_overflow_during_an_answer_withdraws_the_partial_text(
    online: Chat, endpoint: ModelServer
) -> None:
    endpoint.rule = echoing()
    await events_of(online, "Turn 0")
    endpoint.rule = None
    endpoint.play(text_reply("Half of it", " and", fault="overflow", after=1), text_reply("All of it."))

    events = await events_of(online, "Turn 1")

    assert reply_of(events) == "All of it."
    assert user_messages_in(endpoint.requests[-1]) == ["Turn 1"]
    assert warnings(events) == ["context_shortened"]
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].warning == "context_shortened"


async def test_empty_incomplete_answer_is_retried_with_a_shorter_request(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing()
    await events_of(online, "Turn 0")
    endpoint.rule = None
    endpoint.play(Answer(parts=(), fault="incomplete"), text_reply("Now there is."))

    events = await events_of(online, "Turn 1")

    assert reply_of(events) == "Now there is."
    assert user_messages_in(endpoint.requests[-1]) == ["Turn 1"]
    assert learned("stub-1").context_tokens is None, "an incomplete answer does not reveal the limit"


async def test_answer_larger_than_the_context_fails_the_turn(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(text_reply("And on", " and on", fault="overflow", after=1))

    assert failure_of(await events_of(online, "Tell me all")).detail == TOO_LONG_ANSWER


async def test_refusal_of_a_request_of_any_size_sets_no_limit(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing()
    for turn in range(3):
        await events_of(online, f"Turn {turn}")
    endpoint.rule = echoing(limit=0, refusal=HttpError(413, "Request Entity Too Large"))

    failure_of(await events_of(online, "Turn 3"))

    assert learned("stub-1").context_tokens is None
    assert user_messages_in(endpoint.requests[-1]) == ["Turn 3"]


async def test_message_larger_than_the_context_fails_the_turn(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing(limit=2_500)

    failure = failure_of(await events_of(online, "word " * 1_990))

    assert failure.detail == TOO_LONG_MESSAGE
    assert len(endpoint.requests) == 1
    endpoint.rule = echoing(limit=2_500)
    assert reply_of(await events_of(online, "short")).endswith("Done."), "the conversation continues without it"


async def test_context_too_small_for_the_instructions_is_reported(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing(limit=600)

    assert failure_of(await events_of(online, "hi")).detail == TOO_SMALL


async def test_oversized_turn_keeps_its_message_and_the_newest_calls(online: Chat, endpoint: ModelServer) -> None:
    note = "note " * 199

    async def adding(request: Request) -> Step:
        if tokens_in(request) > 4_000:
            return HttpError(400, "maximum context length is 4000 tokens")
        if "task 9" in str(request.items[-1]):
            return text_reply("Added.")
        n = max(map(int, re.findall(r"task (\d)", str(request.items))), default=0)
        return tool_calls(Call("create_task", {"title": f"task {n + 1}", "description": note}))

    endpoint.rule = adding

    assert reply_of(await events_of(online, "Add nine tasks")) == "Added."
    last = endpoint.requests[-1].items
    assert user_messages_in(endpoint.requests[-1]) == ["Add nin"]
    assert faults(last) == {}
    assert len(last) < 19, "older calls of the turn are left out"


async def test_tool_output_larger_than_the_context_fails_the_turn(online: Chat, endpoint: ModelServer) -> None:
    async def reading(request: Request) -> Step:
        if request.outputs:
            return HttpError(400, "maximum context length is 2000 tokens")
        return tool_calls(Call("create_task", {"title": "Tea", "description": "note " * 199, "priority": "high"}))

    endpoint.rule = reading

    failure = failure_of(await events_of(online, "Add tea " + "please " * 600))

    assert failure.detail == TOO_MUCH_READ


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_turn_keeps_its_warning_while_waiting_for_approval(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing()
    await events_of(online, "Turn 0")
    deletion = Answer(parts=(Call("delete_tasks", {"numbers": [1]}),), input_tokens=1_500)
    endpoint.play(HttpError(400, "maximum context length is 2300 tokens"), deletion)
    accepted, asked = await online.request_approval("Turn 1")

    await online.decide(accepted.turn, asked.call_id, approve=True)
    await online.until(accepted.turn, TurnFinished)
    await online.wait_until_idle()

    assert (await in_database(Turn.objects.get, pk=accepted.turn.pk)).warning == "context_shortened"
    assert user_messages_in(endpoint.requests[-1]) == ["Turn 1"]


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("buy milk tomorrow", 5),
        ("明天买牛奶", 5),
        ({"type": "function_call", "arguments": '{"title": "Tea"}'}, 9),
        ({"role": "user", "content": [{"type": "input_text", "text": "\ud83d"}]}, 5),
    ],
)
def test_size_is_estimated_from_bytes_in_any_script(value: object, tokens: int) -> None:
    assert size_of(value) == tokens


def test_replay_of_a_shortened_request_repeats_its_warning() -> None:
    """A resumed turn may send no further request to the model."""
    warned: list[str] = []
    window = Window(Sent(900, 700, turns=4), lambda: warned.append("shortened"))

    window.replay(Sent(1_000, 800, turns=5))
    assert warned == [], "the request starts where the previous turn's did"
    window.replay(Sent(1_000, 800, turns=2))
    assert warned == ["shortened"]
