"""A turn fails with a message after the retry budget or a permanent error, and can be retried later."""

import json
import logging

import pytest

from chat.assistant.endpoints import retrying
from chat.infra.db_threads import in_database
from chat.models import Message, Task, ToolCall, Turn, TurnStep
from chat.models.turn import Status
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import KEY, events_after, events_of, failure_of, reply_of
from chat.tests.model_server import (
    Answer,
    Api,
    Call,
    HtmlPage,
    HttpError,
    ModelServer,
    Raw,
    Request,
    Rule,
    Step,
    Text,
    text_reply,
    tool_calls,
)
from chat.turns.events import ModelRetrying


def _document(body: object) -> Raw:
    return Raw((json.dumps(body).encode(),), content_type="application/json")


FINAL: dict[str, tuple[Step, str]] = {
    "400": (HttpError(400, "Bad."), "manage.py check_model"),
    "a wrong key": (HttpError(401, "Who?", "invalid_api_key"), "OPENAI_API_KEY"),
    "a wrong key at Gemini": (HttpError(400, "API key not valid. Please pass a valid API key."), "OPENAI_API_KEY"),
    "403": (HttpError(403, "No."), "refuses access"),
    "an unknown model": (HttpError(404, "The model `x` does not exist.", "model_not_found"), "AGENT_MODEL"),
    "a model that is not pulled": (HttpError(404, "model 'x' not found, try pulling it first"), "AGENT_MODEL"),
    "a missing deployment": (HttpError(404, "No such deployment.", "DeploymentNotFound"), "AGENT_MODEL"),
    "no such path": (HttpError(404, "404 page not found"), "OPENAI_BASE_URL"),
    "422": (HttpError(422, "Bad."), "manage.py check_model"),
    "no credit left": (HttpError(429, "Pay.", "insufficient_quota"), "credit"),
    "no credit left, with status 402": (HttpError(402, "Insufficient Balance"), "credit"),
    "no tools": (HttpError(400, "registry.ollama.ai/library/gemma3:4b does not support tools"), "cannot call tools"),
    "tools turned off": (
        HttpError(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        "cannot call tools",
    ),
    "filtered content": (
        HttpError(400, "The response was filtered due to Azure OpenAI's content management policy.", "content_filter"),
        "in other words",
    ),
    "a wrong key, with status 200": (_document({"error": {"message": "Who?", "code": 401}}), "OPENAI_API_KEY"),
    "no credit left, with status 200": (_document({"error": "Insufficient balance"}), "credit"),
    "a full context, with status 200": (_document({"error": {"code": "context_length_exceeded"}}), "larger context"),
    "no stream": (_document({"status": "ok"}), "does not stream"),
    "refused in the stream": (text_reply("Well", "...", fault="refused", after=1), "did not accept the request"),
}


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a retry budget of 0.2 seconds."""
    monkeypatch.setattr(retrying, "BUDGET", 0.2)


async def broken(request: Request) -> Step:
    """Answer every request with status 500."""
    return HttpError(500)


@pytest.mark.parametrize(("step", "advice"), FINAL.values(), ids=FINAL.keys())
async def test_permanent_error_fails_at_once_with_advice(
    online: Chat, endpoint: ModelServer, step: Step, advice: str
) -> None:
    endpoint.play(step)

    failure = failure_of(await events_of(online, "hi"))

    assert (failure.code, failure.retryable) == ("model_error", True)
    assert advice in failure.detail
    assert failure.detail.endswith((".", "”."))
    assert len(endpoint.requests) == 1
    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.error_detail) == (Status.FAILED, failure.detail)
    assert not await in_database(Message.objects.filter(role="assistant").exists)


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_incomplete_answer_fails_the_turn(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(text_reply("word ", "word ", fault="incomplete", after=1))

    assert "grew too long" in failure_of(await events_of(online, "hi")).detail


@pytest.mark.parametrize("api", ["chat_completions"], indirect=True)
async def test_text_before_the_length_limit_is_the_reply(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(text_reply("All I ", "can say", fault="incomplete", after=1))

    assert reply_of(await events_of(online, "hi")) == "All I "


async def test_turn_fails_with_a_message_after_the_retry_budget(
    online: Chat, endpoint: ModelServer, small_budget: None
) -> None:
    endpoint.rule = broken

    failure = failure_of(await events_of(online, "hi"))

    assert (failure.detail, failure.retryable) == ("The model's endpoint fails at the moment.", True)
    assert len(endpoint.requests) > 2


async def test_request_is_retried_five_times_and_each_retry_is_shown(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = broken

    events = await events_of(online, "hi")

    assert len(endpoint.requests) == 6
    retries = [event for event in events if isinstance(event, ModelRetrying)]
    assert [(event.attempt_n, event.of) for event in retries] == [(n, 5) for n in range(1, 6)]
    assert retries[1].detail == "The model does not answer. Retrying, 2 of 5."


@pytest.mark.parametrize(
    ("headers", "when"),
    [
        ({"retry-after": "90"}, "in 2 minutes"),
        ({"retry-after": "999999999999"}, "tomorrow or later"),
        ({"retry-after-ms": "1e308"}, "tomorrow or later"),
    ],
)
async def test_retry_after_beyond_the_budget_fails_the_turn_at_once(
    online: Chat, endpoint: ModelServer, headers: dict[str, str], when: str
) -> None:
    endpoint.play(HttpError(429, "Slow down.", headers=headers))

    failure = failure_of(await events_of(online, "hi"))

    assert failure.detail.endswith(f"Please try again {when}.")
    assert len(endpoint.requests) == 1


async def test_html_page_is_not_accepted_as_an_answer(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(HtmlPage("<!doctype html><title>Welcome</title>"))

    assert "OPENAI_BASE_URL" in failure_of(await events_of(online, "hi")).detail
    assert len(endpoint.requests) == 1


async def test_refused_connection_fails_with_a_message(online: Chat, endpoint: ModelServer, small_budget: None) -> None:
    await endpoint.refuse()

    failure = failure_of(await events_of(online, "hi"))

    assert failure.detail == "The model's endpoint cannot be reached at the moment."


async def test_retry_continues_after_the_last_complete_response(
    online: Chat, endpoint: ModelServer, small_budget: None
) -> None:
    endpoint.play(Answer(parts=(Text(("One moment.",)), Call("create_task", {"title": "Tea"}, "call_tea"))))
    endpoint.rule = broken
    accepted = await online.send("add tea")
    failure_of(await events_after(online, accepted))
    requests_before = len(endpoint.requests)

    endpoint.play(text_reply("Tea is on the list."))
    events = await events_after(online, await online.retry(accepted.turn))

    assert reply_of(events) == "One moment.\n\nTea is on the list."
    assert len(endpoint.requests) == requests_before + 1, "the first response was not requested again"
    assert endpoint.requests[-1].outputs.keys() == {"call_tea"}
    assert await in_database(Task.objects.count) == 1
    latest = await in_database(lambda: Turn.objects.latest("seq"))
    assert await in_database(TurnStep.objects.filter(turn=latest).count) == 2
    assert await in_database(ToolCall.objects.filter(turn=latest).count) == 1


async def test_conversation_continues_after_a_failed_turn(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(tool_calls(Call("create_task", {"title": "Tea"})), text_reply("Add", "ed", fault="refused", after=1))
    failure_of(await events_of(online, "add tea"))

    endpoint.play(text_reply("Still here."))

    assert reply_of(await events_of(online, "are you there?")) == "Still here."
    user_messages = [item for item in endpoint.requests[-1].items if item.get("role") == "user"]
    assert len(user_messages) == 2, "the session keeps the message of the failed turn"


async def test_logs_and_failures_contain_neither_the_key_nor_the_message(
    online: Chat, endpoint: ModelServer, api: Api, small_budget: None, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "the surprise party"
    caplog.set_level(logging.INFO)
    careless = f"Incorrect API key provided: {KEY}. You said: {secret}."
    for step in (
        HttpError(401, careless),
        HttpError(400, careless),
        HttpError(500, careless),
        HttpError(400, "no", f"{KEY}\n2030-01-01 a forged line", {"x-request-id": KEY}),
        text_reply(secret, "x", fault="malformed", after=1),
        Answer(parts=()),
    ):
        endpoint.rule = _always(step)
        failure = failure_of(await events_of(online, f"plan {secret}"))
        assert KEY not in failure.detail
        assert secret not in failure.detail

    assert len(caplog.messages) > 5
    assert KEY not in caplog.text
    assert secret not in caplog.text


def _always(step: Step) -> Rule:
    async def rule(request: Request) -> Step:
        return step

    return rule
