"""A model's reasoning is shown separately from its reply, and sent back only to an endpoint that requires it."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from chat.assistant.model_config import learned
from chat.conversations import chat_page
from chat.infra.db_threads import in_database
from chat.models import Turn
from chat.models.user import User
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, failure_of, reply_of, shown_text
from chat.tests.model_server import Answer, Call, HttpError, ModelServer, Reasoning, Request, Text
from chat.tests.model_server.script import Step
from chat.turns.events import Event, ReasoningDelta

pytestmark = pytest.mark.parametrize("api", ["chat_completions"], indirect=True)

MISSING = {
    "DeepSeek": "The `reasoning_content` in the thinking mode must be passed back to the API.",
    "DeepSeek, earlier": "Missing `reasoning_content` field in the assistant message at message index 2.",
    "Kimi": "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
}
ANSWERS: list[Answer] = [
    Answer(parts=(Reasoning("", "A task."), Call("create_task", {"title": "Tea"}))),
    Answer(parts=(Reasoning("", "Done."), Text(("Added.",)))),
    Answer(parts=(Text(("You are welcome.",)),)),
]


@pytest.fixture(autouse=True)
def _nothing_learned() -> Iterator[None]:
    learned.cache_clear()
    yield
    learned.cache_clear()


def reasoning_in(request: Request) -> list[str | None]:
    """Return the reasoning of each assistant message in a request."""
    replies = [message for message in request.body["messages"] if message["role"] == "assistant"]
    return [message.get("reasoning_content") for message in replies]


def reasoning_of(events: list[Event]) -> str:
    """Return the reasoning that a page shows."""
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


async def test_reasoning_is_shown_and_stored_separately_from_the_reply(
    online: Chat, endpoint: ModelServer, owner: User
) -> None:
    endpoint.play(*ANSWERS[:2])

    events = await events_of(online, "add tea")

    assert (shown_text(events), reply_of(events)) == ("Added.", "Added.")
    assert reasoning_of(events) == "A task.\n\nDone."
    turn = await in_database(Turn.objects.get)
    assert (turn.text, turn.reasoning) == ("Added.", "A task.\n\nDone.")
    page = await in_database(chat_page.chat, owner, online.conversation_id)
    assert page is not None
    assert page.turns[0].as_json()["reasoning"] == "A task.\n\nDone."


async def test_endpoint_that_does_not_require_reasoning_gets_none(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(*ANSWERS)
    await events_of(online, "add tea")
    await events_of(online, "thanks")

    assert [reasoning_in(request) for request in endpoint.requests] == [[], [None], [None, None]]


@pytest.mark.parametrize("name", MISSING)
async def test_endpoint_that_requires_reasoning_gets_it_after_the_first_error(
    online: Chat, endpoint: ModelServer, name: str
) -> None:
    answers = iter(ANSWERS)

    async def rule(request: Request) -> Step:
        return next(answers) if all(reasoning_in(request)) else HttpError(400, MISSING[name])

    endpoint.rule = rule
    assert reply_of(await events_of(online, "add tea")) == "Added."
    assert reply_of(await events_of(online, "thanks")) == "You are welcome."

    sent = [reasoning_in(request) for request in endpoint.requests]
    assert sent == [[], [None], ["A task."], ["A task.", "Done."]]


async def test_endpoint_that_refuses_its_own_long_ids_gets_short_ids(online: Chat, endpoint: ModelServer) -> None:
    async def rule(request: Request) -> Step:
        if not request.outputs:
            return Answer(parts=(Call("create_task", {"title": "Tea"}, "call_" + "x" * 195),))
        if any(len(call_id) > 64 for call_id in request.outputs):
            return HttpError(400, "Invalid 'messages[2].tool_calls[0].id': string too long.")
        return Answer(parts=(Text(("Added.",)),))

    endpoint.rule = rule
    assert reply_of(await events_of(online, "add tea")) == "Added."
    assert reply_of(await events_of(online, "thanks")) == "Added."
    assert len(endpoint.requests) == 4


async def test_turn_fails_if_the_endpoint_refuses_returned_reasoning(online: Chat, endpoint: ModelServer) -> None:
    refused = HttpError(400, MISSING["Kimi"])
    endpoint.play(ANSWERS[0], refused, refused)

    assert failure_of(await events_of(online, "add tea")).retryable


@pytest.fixture
def setting(request: pytest.FixtureRequest, settings: Settings) -> str:
    """The value of AGENT_REASONING, set before the model is built."""
    settings.AGENT_REASONING = request.param
    return str(request.param)


@pytest.mark.parametrize(
    ("setting", "sent"), [("return", ["A task.", "Done."]), ("omit", [None, None])], indirect=["setting"]
)
async def test_agent_reasoning_setting_controls_what_is_sent_back(
    setting: str, online: Chat, endpoint: ModelServer, sent: list[str | None]
) -> None:
    endpoint.play(*ANSWERS)
    await events_of(online, "add tea")
    await events_of(online, "thanks")

    assert reasoning_in(endpoint.requests[-1]) == sent


async def test_reasoning_of_a_broken_stream_is_withdrawn(online: Chat, endpoint: ModelServer) -> None:
    broken = Answer(parts=(Reasoning("", "Hm."), Text(("I will",))), fault="cut", after=1)
    endpoint.play(broken, Answer(parts=(Reasoning("", "Yes."), Text(("Hello.",)))))

    assert reply_of(await events_of(online, "hello")) == "Hello."
    assert (await in_database(Turn.objects.get)).reasoning == "Yes."
