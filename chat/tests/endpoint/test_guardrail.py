"""The guardrail asks the model only when unsure, allows a message if that fails, and refuses before any output."""

import time
from collections.abc import Awaitable, Callable

import pytest
from pytest_django import Settings

from chat.assistant import guardrail
from chat.assistant.relevance import REFUSAL
from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.models import Message, Task, TurnStep
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of
from chat.tests.model_server import (
    AbortedConnection,
    Api,
    Call,
    HttpError,
    ModelServer,
    Request,
    Step,
    text_reply,
    tool_calls,
)
from chat.turns.events import TextDelta, ToolStarted

UNSURE = "Purple elephants dance at midnight while the river hums an old and quiet tune"
OFF_TOPIC = "What is the capital of France?"
ON_TOPIC = "Add a task to buy milk"


@pytest.fixture(autouse=True)
def guarded(configured: None, settings: Settings) -> None:
    """Turn the guardrail on."""
    settings.AGENT_GUARDRAIL = True


def answering(verdict: Step, answer: Step) -> Callable[[Request], Awaitable[Step]]:
    """Answer the guardrail's request with the verdict, and the assistant's with the answer."""

    async def rule(request: Request) -> Step:
        return verdict if is_question(request) else answer

    return rule


def is_question(request: Request) -> bool:
    """Return whether a request is the guardrail's."""
    return "yes or no" in request.instructions


async def test_message_about_tasks_is_allowed_without_asking_the_model(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(text_reply("Added."))

    assert reply_of(await events_of(online, ON_TOPIC)) == "Added."
    assert [is_question(request) for request in endpoint.requests] == [False]


async def test_off_topic_message_is_refused_without_asking_the_model(online: Chat, endpoint: ModelServer) -> None:
    assert reply_of(await events_of(online, OFF_TOPIC)) == REFUSAL
    assert endpoint.requests == []


async def test_model_is_asked_when_the_rules_are_unsure(online: Chat, endpoint: ModelServer, api: Api) -> None:
    endpoint.rule = answering(text_reply("Yes."), text_reply("What would you like to add?"))

    assert reply_of(await events_of(online, UNSURE)) == "What would you like to add?"

    question, answer = endpoint.requests
    assert is_question(question) and not is_question(answer)
    assert UNSURE in question.last_user_text
    assert question.tool_names == [], "the guardrail's request has no tools"
    if api == "responses":
        assert question.body["store"] is False


async def test_guardrail_request_holds_the_beginning_of_a_long_message(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = answering(text_reply("Yes."), text_reply("What would you like to add?"))

    await events_of(online, UNSURE + " and on" * 1_300)

    assert UNSURE in endpoint.requests[0].last_user_text
    assert len(endpoint.requests[0].last_user_text) < 2_100, "it fits a small context"


@pytest.mark.parametrize("verdict", ["no", "No.", "**No**", " no, it has not", "<think>Yes? I see.</think>\n\nNo."])
async def test_message_that_the_model_rejects_is_refused_before_any_output(
    online: Chat, endpoint: ModelServer, verdict: str
) -> None:
    endpoint.rule = answering(text_reply(verdict), tool_calls(Call("create_task", {"title": "Elephants"})))

    events = await events_of(online, UNSURE)

    assert reply_of(events) == REFUSAL
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == REFUSAL
    assert not [event for event in events if isinstance(event, ToolStarted)]
    assert not await in_database(Task.objects.exists)
    assert not await in_database(TurnStep.objects.exists)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("verdict", ["Not sure", "Nothing speaks against it", "Yes", "", "Perhaps"])
async def test_only_a_plain_no_refuses_a_message(online: Chat, endpoint: ModelServer, verdict: str) -> None:
    endpoint.rule = answering(text_reply(verdict), text_reply("Fine."))

    assert reply_of(await events_of(online, UNSURE)) == "Fine."


@pytest.mark.parametrize(
    "fault", [HttpError(500), HttpError(429), AbortedConnection(), text_reply("no", fault="malformed")], ids=repr
)
async def test_message_is_allowed_if_the_guardrail_request_fails(
    online: Chat, endpoint: ModelServer, fault: Step
) -> None:
    endpoint.rule = answering(fault, text_reply("Fine."))

    assert reply_of(await events_of(online, UNSURE)) == "Fine."


async def test_message_is_allowed_if_the_guardrail_times_out(
    online: Chat, endpoint: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardrail, "VERDICT_TIMEOUT", 0.3)
    endpoint.rule = answering(text_reply("no", fault="stall"), text_reply("Fine."))

    started = time.monotonic()
    assert reply_of(await events_of(online, UNSURE)) == "Fine."
    assert time.monotonic() - started < 8, "the guardrail's timeout is shorter than the client's"


async def test_refusal_is_stored_as_a_normal_reply(online: Chat, endpoint: ModelServer) -> None:
    await events_of(online, OFF_TOPIC)
    endpoint.play(text_reply("Added."))
    await events_of(online, ON_TOPIC)

    stored = await in_database(lambda: list(Message.objects.order_by("position").values_list("role", "text")))
    assert stored[:2] == [("user", OFF_TOPIC), ("assistant", REFUSAL)]
    (request,) = endpoint.requests
    assert [item["role"] for item in request.items] == ["user", "assistant", "user"]
    rows = await online.runner.store.rows(str(SessionId(online.user.pk, online.conversation_id)))
    assert len(rows) == 4


async def test_short_answer_to_the_assistants_question_is_allowed(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(text_reply("Which of the two do you mean?"), text_reply("Done."))

    await events_of(online, "finish the report")

    assert reply_of(await events_of(online, "the blue one")) == "Done."
    assert not any(is_question(request) for request in endpoint.requests)
