"""The guardrail asks the model only when unsure, lets pass when that fails, and refuses before anything is seen."""

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
from chat.tests.model_server import Api, Call, Hangup, HttpError, ModelServer, Request, Step, calls, says
from chat.turns.events import TextDelta, ToolStarted

UNSURE = "Purple elephants dance at midnight while the river hums an old and quiet tune"
OFF_TOPIC = "What is the capital of France?"
ON_TOPIC = "Add a task to buy milk"


@pytest.fixture(autouse=True)
def guarded(configured: None, settings: Settings) -> None:
    """The guardrail on."""
    settings.AGENT_GUARDRAIL = True


def judging(verdict: Step, answer: Step) -> Callable[[Request], Awaitable[Step]]:
    """Answer the guardrail's question one way, and the assistant's another."""

    async def rule(request: Request) -> Step:
        return verdict if is_question(request) else answer

    return rule


def is_question(request: Request) -> bool:
    """Return whether a request is the guardrail's."""
    return "yes or no" in request.instructions


async def test_what_is_plainly_about_tasks_is_not_asked_about(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(says("Added."))

    assert reply_of(await events_of(online, ON_TOPIC)) == "Added."
    assert [is_question(request) for request in endpoint.requests] == [False]


async def test_what_is_plainly_not_is_refused_without_asking_anybody(online: Chat, endpoint: ModelServer) -> None:
    assert reply_of(await events_of(online, OFF_TOPIC)) == REFUSAL
    assert endpoint.requests == []


async def test_the_model_is_asked_when_the_rules_are_unsure(online: Chat, endpoint: ModelServer, api: Api) -> None:
    endpoint.rule = judging(says("Yes."), says("What would you like to add?"))

    assert reply_of(await events_of(online, UNSURE)) == "What would you like to add?"

    question, answer = endpoint.requests
    assert is_question(question) and not is_question(answer)
    assert UNSURE in question.said
    assert question.tool_names == [], "whoever judges can do nothing"
    if api == "responses":
        assert question.body["store"] is False


async def test_the_beginning_of_a_long_message_is_asked_about(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = judging(says("Yes."), says("What would you like to add?"))

    await events_of(online, UNSURE + " and on" * 1_300)

    assert UNSURE in endpoint.requests[0].said
    assert len(endpoint.requests[0].said) < 2_100, "a small context holds it"


@pytest.mark.parametrize("verdict", ["no", "No.", "**No**", " no, it has not", "<think>Yes? I see.</think>\n\nNo."])
async def test_what_the_model_turns_away_is_refused_before_anything_is_seen(
    online: Chat, endpoint: ModelServer, verdict: str
) -> None:
    endpoint.rule = judging(says(verdict), calls(Call("create_task", {"title": "Elephants"})))

    events = await events_of(online, UNSURE)

    assert reply_of(events) == REFUSAL
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == REFUSAL
    assert not [event for event in events if isinstance(event, ToolStarted)]
    assert not await in_database(Task.objects.exists)
    assert not await in_database(TurnStep.objects.exists)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("verdict", ["Not sure", "Nothing speaks against it", "Yes", "", "Perhaps"])
async def test_only_a_plain_no_turns_away(online: Chat, endpoint: ModelServer, verdict: str) -> None:
    endpoint.rule = judging(says(verdict), says("Fine."))

    assert reply_of(await events_of(online, UNSURE)) == "Fine."


@pytest.mark.parametrize("fault", [HttpError(500), HttpError(429), Hangup(), says("no", fault="malformed")], ids=repr)
async def test_a_guardrail_that_fails_lets_pass(online: Chat, endpoint: ModelServer, fault: Step) -> None:
    endpoint.rule = judging(fault, says("Fine."))

    assert reply_of(await events_of(online, UNSURE)) == "Fine."


async def test_a_guardrail_that_takes_too_long_lets_pass(
    online: Chat, endpoint: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardrail, "VERDICT_TIMEOUT", 0.3)
    endpoint.rule = judging(says("no", fault="stall"), says("Fine."))

    begun = time.monotonic()
    assert reply_of(await events_of(online, UNSURE)) == "Fine."
    assert time.monotonic() - begun < 8, "nobody waits until the client gives up"


async def test_a_refusal_is_a_normal_reply_that_is_remembered(online: Chat, endpoint: ModelServer) -> None:
    await events_of(online, OFF_TOPIC)
    endpoint.play(says("Added."))
    await events_of(online, ON_TOPIC)

    stored = await in_database(lambda: list(Message.objects.order_by("position").values_list("role", "text")))
    assert stored[:2] == [("user", OFF_TOPIC), ("assistant", REFUSAL)]
    (request,) = endpoint.requests
    assert [item["role"] for item in request.items] == ["user", "assistant", "user"]
    rows = await online.runner.store.rows(str(SessionId(online.user.pk, online.conversation_id)))
    assert len(rows) == 4


async def test_a_bare_answer_to_the_assistants_question_passes(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(says("Which of the two do you mean?"), says("Done."))

    await events_of(online, "finish the report")

    assert reply_of(await events_of(online, "the blue one")) == "Done."
    assert not any(is_question(request) for request in endpoint.requests)
