"""A request holds as much of the conversation as the model's context does; the person hears where it begins later."""

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
from chat.tests.model_server import Answer, Call, HttpError, ModelServer, Request, Step, Text, calls, says
from chat.turns.events import Event, TurnFinished, Warned

LONG = "word " * 600  # 1,000 tokens by our estimate, 600 by the endpoint's


@pytest.fixture(autouse=True)
def _nothing_learned() -> Iterator[None]:
    """Each test begins with a model of which nothing is known."""
    learned.cache_clear()
    yield
    learned.cache_clear()


@pytest.fixture
def context_tokens() -> int:
    """The model's context as it is configured."""
    return 32_000


@pytest.fixture
def configured(configured: None, context_tokens: int, settings: Settings) -> None:
    """A model of that context."""
    settings.AGENT_CONTEXT_TOKENS = context_tokens


def tokens_in(request: Request) -> int:
    """Count the tokens of a request as our endpoint does: one for five characters."""
    return len(str(request.body)) // 5


def echoing(limit: int | None = None, refusal: HttpError | None = None) -> Any:
    """Answer with a long text and the request's size; refuse what is longer than the limit."""

    async def rule(request: Request) -> Step:
        if limit is not None and tokens_in(request) > limit:
            return refusal or HttpError(400, f"maximum context length is {limit} tokens", "context_length_exceeded")
        return Answer(parts=(Text((LONG, "Done.")),), input_tokens=tokens_in(request))

    return rule


def users_in(request: Request) -> list[str]:
    """Return the first words of what the person says in a request."""
    return [str(item["content"])[:7].strip() for item in request.items if item.get("role") == "user"]


def warnings(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Warned)]


async def held(chat: Chat) -> int:
    """Count the items in the session file."""
    return len(await chat.runner.store.rows(str(SessionId(chat.user.pk, chat.conversation_id))))


@pytest.mark.parametrize("context_tokens", [12_000])
async def test_whole_turns_are_left_out_and_the_session_keeps_them(
    online: Chat, endpoint: ModelServer, context_tokens: int
) -> None:
    endpoint.rule = echoing()
    warned: list[list[str]] = []
    for turn in range(20):
        warned.append(warnings(await events_of(online, f"Turn {turn:2}")))

    for request in endpoint.requests:
        assert tokens_in(request) <= context_tokens
        assert faults(request.items) == {}
    begins = [users_in(request)[0] for request in endpoint.requests]
    assert begins[0] == "Turn  0"
    assert await held(online) == 40, "the session keeps what one request leaves out"
    moved = [begins[n] != begins[n - 1] for n in range(1, 20)]
    assert [bool(codes) for codes in warned[1:]] == moved, "a warning wherever the request begins later, nowhere else"
    assert 2 <= sum(moved) <= 6, "and it begins later now and then only"
    turns = await in_database(lambda: list(Turn.objects.order_by("seq").values_list("warning", flat=True)))
    assert [bool(warning) for warning in turns] == [False, *moved]
    assert "no longer remembered" in endpoint.requests[-1].instructions


@pytest.mark.parametrize("context_tokens", [12_000])
async def test_the_reported_tokens_correct_the_estimate(online: Chat, endpoint: ModelServer) -> None:
    async def costly(request: Request) -> Step:
        return Answer(parts=(Text((LONG,)),), input_tokens=3 * tokens_in(request))

    endpoint.rule = costly
    for turn in range(8):
        await events_of(online, f"Turn {turn}")

    assert all(3 * tokens_in(request) <= 12_000 for request in endpoint.requests)


async def test_a_later_model_with_more_context_is_sent_more(
    online: Chat, endpoint: ModelServer, settings: Settings
) -> None:
    endpoint.rule = echoing(limit=6_000)
    for turn in range(10):
        await events_of(online, f"Turn {turn}")
    assert len(users_in(endpoint.requests[-1])) < 10

    learned.cache_clear()
    endpoint.rule = echoing()
    events = await events_of(online, "Turn 10")

    assert len(users_in(endpoint.requests[-1])) == 11
    assert warnings(events) == []


REFUSALS = {
    "with both numbers": HttpError(
        400, "This model's maximum context length is 6000 tokens. However, your messages resulted in 6400 tokens."
    ),
    "with a code only": HttpError(
        400, "Your input exceeds the context window of this model.", "context_length_exceeded"
    ),
    "of a proxy": HttpError(413, "Request Entity Too Large"),
    "of llama.cpp": HttpError(500, "Context size has been exceeded."),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_refused_request_is_shortened_within_the_turn(
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


async def test_a_full_context_in_the_midst_of_an_answer_takes_back_what_was_written(
    online: Chat, endpoint: ModelServer
) -> None:
    endpoint.rule = echoing()
    await events_of(online, "Turn 0")
    endpoint.rule = None
    endpoint.play(says("Half of it", " and", fault="overflow", after=1), says("All of it."))

    events = await events_of(online, "Turn 1")

    assert reply_of(events) == "All of it."
    assert users_in(endpoint.requests[-1]) == ["Turn 1"]
    assert warnings(events) == ["context_shortened"]
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].warning == "context_shortened"


async def test_an_answer_that_has_no_room_to_begin_is_asked_for_with_less(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing()
    await events_of(online, "Turn 0")
    endpoint.rule = None
    endpoint.play(Answer(parts=(), fault="incomplete"), says("Now there is."))

    events = await events_of(online, "Turn 1")

    assert reply_of(events) == "Now there is."
    assert users_in(endpoint.requests[-1]) == ["Turn 1"]
    assert learned("stub-1").context_tokens is None, "a long answer says nothing of the limit"


async def test_an_answer_that_fills_the_context_by_itself_fails_with_a_sentence(
    online: Chat, endpoint: ModelServer
) -> None:
    endpoint.play(says("And on", " and on", fault="overflow", after=1))

    assert failure_of(await events_of(online, "Tell me all")).detail == TOO_LONG_ANSWER


async def test_what_is_refused_whatever_its_size_is_no_limit(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing()
    for turn in range(3):
        await events_of(online, f"Turn {turn}")
    endpoint.rule = echoing(limit=0, refusal=HttpError(413, "Request Entity Too Large"))

    failure_of(await events_of(online, "Turn 3"))

    assert learned("stub-1").context_tokens is None
    assert users_in(endpoint.requests[-1]) == ["Turn 3"]


async def test_a_message_that_is_too_long_by_itself_fails_with_a_sentence(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing(limit=2_500)

    failure = failure_of(await events_of(online, "word " * 1_990))

    assert failure.detail == TOO_LONG_MESSAGE
    assert len(endpoint.requests) == 1
    endpoint.rule = echoing(limit=2_500)
    assert reply_of(await events_of(online, "short")).endswith("Done."), "the conversation goes on without it"


async def test_a_context_too_small_for_the_instructions_says_so(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing(limit=600)

    assert failure_of(await events_of(online, "hi")).detail == TOO_SMALL


async def test_of_a_turn_that_is_too_long_the_message_and_the_newest_calls_stay(
    online: Chat, endpoint: ModelServer
) -> None:
    note = "note " * 199

    async def adding(request: Request) -> Step:
        if tokens_in(request) > 4_000:
            return HttpError(400, "maximum context length is 4000 tokens")
        if "task 9" in str(request.items[-1]):
            return says("Added.")
        n = max(map(int, re.findall(r"task (\d)", str(request.items))), default=0)
        return calls(Call("create_task", {"title": f"task {n + 1}", "description": note}))

    endpoint.rule = adding

    assert reply_of(await events_of(online, "Add nine tasks")) == "Added."
    last = endpoint.requests[-1].items
    assert users_in(endpoint.requests[-1]) == ["Add nin"]
    assert faults(last) == {}
    assert len(last) < 19, "older calls of the turn are left out"


async def test_what_was_read_and_is_too_long_fails_with_a_sentence(online: Chat, endpoint: ModelServer) -> None:
    async def reading(request: Request) -> Step:
        if request.outputs:
            return HttpError(400, "maximum context length is 2000 tokens")
        return calls(Call("create_task", {"title": "Tea", "description": "note " * 199, "priority": "high"}))

    endpoint.rule = reading

    failure = failure_of(await events_of(online, "Add tea " + "please " * 600))

    assert failure.detail == TOO_MUCH_READ


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_a_turn_that_waits_for_a_decision_keeps_its_warning(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = echoing()
    await events_of(online, "Turn 0")
    deletion = Answer(parts=(Call("delete_tasks", {"numbers": [1]}),), input_tokens=1_500)
    endpoint.play(HttpError(400, "maximum context length is 2300 tokens"), deletion)
    accepted, asked = await online.asked("Turn 1")

    await online.decide(accepted.turn, asked.call_id, approve=True)
    await online.until(accepted.turn, TurnFinished)
    await online.settled()

    assert (await in_database(Turn.objects.get, pk=accepted.turn.pk)).warning == "context_shortened"
    assert users_in(endpoint.requests[-1]) == ["Turn 1"]


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("buy milk tomorrow", 5),
        ("明天买牛奶", 5),
        ({"type": "function_call", "arguments": '{"title": "Tea"}'}, 9),
        ({"role": "user", "content": [{"type": "input_text", "text": "\ud83d"}]}, 5),
    ],
)
def test_a_size_is_estimated_from_bytes_in_any_script(value: object, tokens: int) -> None:
    assert size_of(value) == tokens


def test_what_the_journal_has_of_a_request_is_warned_of_again() -> None:
    """A turn may be resumed that asks the model nothing any more."""
    warned: list[str] = []
    window = Window(Sent(900, 700, turns=4), lambda: warned.append("shortened"))

    window.replay(Sent(1_000, 800, turns=5))
    assert warned == [], "it begins where the turn before did"
    window.replay(Sent(1_000, 800, turns=2))
    assert warned == ["shortened"]
