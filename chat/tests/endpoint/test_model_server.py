"""The model server of the tests: its output has the client's types, and it refuses what a provider would refuse."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from chat.tests.endpoint.conftest import KEY
from chat.tests.model_server import (
    AbortedConnection,
    Answer,
    Api,
    Call,
    HttpError,
    ModelServer,
    Reasoning,
    Refusal,
    Text,
    text_reply,
)
from chat.tests.model_server.script import Fault, read_script

EVERYTHING = Answer(
    parts=(
        Reasoning("gAAA", "Thinking"),
        Text(("Hel", "lo")),
        Refusal(("I'd ", "rather not")),
        Call("create_task", {"title": "Tee – 茶"}, pieces=4),
        Call("list_tasks", {}),
    )
)
CALL = {"type": "function_call", "call_id": "c1", "name": "list_tasks", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "[]"}
USER = {"role": "user", "content": "hi"}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "g"}
ASSISTANT_CALL: dict[str, Any] = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "list_tasks", "arguments": "{}"}}],
}
TOOL_MESSAGE = {"role": "tool", "tool_call_id": "c1", "content": "[]"}


def path(api: Api) -> str:
    return "/responses" if api == "responses" else "/chat/completions"


def body(api: Api, given: list[Any], **more: Any) -> dict[str, Any]:
    return {"model": "stub-1", "input" if api == "responses" else "messages": given, **more}


async def post(endpoint: ModelServer, api: Api, given: list[Any], **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(
            endpoint.url + path(api), json=body(api, given, **more), headers={"authorization": f"Bearer {KEY}"}
        )


def data_of(answer: httpx.Response) -> list[Any]:
    """Return the data of the events of a stream."""
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def unknown_fields(shape: object) -> Iterator[str]:
    """Yield every field of a shape that the client's types do not know."""
    if isinstance(shape, BaseModel):
        yield from shape.model_extra or ()
        for name in type(shape).model_fields:
            yield from unknown_fields(getattr(shape, name))
    elif isinstance(shape, list):
        for item in shape:
            yield from unknown_fields(item)


@pytest.mark.parametrize("fault", [None, "failed", "incomplete"])
async def test_responses_stream_events_match_the_clients_types(endpoint: ModelServer, fault: Fault | None) -> None:
    endpoint.play(Answer(parts=EVERYTHING.parts, fault=fault, after=99))

    data = data_of(await post(endpoint, "responses", [USER], stream=True))

    events = [TypeAdapter[Any](ResponseStreamEvent).validate_python(event, strict=True) for event in data]
    assert [name for event in events for name in unknown_fields(event)] == []
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == f"response.{fault or 'completed'}"


async def test_chat_completions_chunks_match_the_clients_types(endpoint: ModelServer) -> None:
    endpoint.play(EVERYTHING)

    answer = await post(endpoint, "chat_completions", [USER], stream=True, stream_options={"include_usage": True})

    chunks = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in data_of(answer)]
    # Other providers extend the format with this field.
    assert [name for chunk in chunks for name in unknown_fields(chunk)] == ["reasoning_content"]
    assert answer.text.endswith("data: [DONE]\n\n")
    assert [choice.finish_reason for choice in chunks[-2].choices] == ["tool_calls"]
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "Hello"


async def test_usage_is_sent_only_if_requested(endpoint: ModelServer) -> None:
    endpoint.play(text_reply("Hello"))

    data = data_of(await post(endpoint, "chat_completions", [USER], stream=True))

    assert not [chunk for chunk in data if chunk.get("usage")]


@pytest.mark.parametrize("shape", [Response, ChatCompletion])
async def test_unstreamed_answer_matches_the_clients_types(endpoint: ModelServer, shape: type[BaseModel]) -> None:
    endpoint.play(EVERYTHING)

    answer = await post(endpoint, "responses" if shape is Response else "chat_completions", [USER])

    whole = shape.model_validate(answer.json(), strict=True)
    assert list(unknown_fields(whole)) == []


@pytest.mark.parametrize(
    ("api", "given", "problem"),
    [
        ("responses", [USER, OUTPUT], "no tool call found"),
        ("responses", [USER, OUTPUT, CALL], "no tool call found"),
        ("responses", [USER, CALL], "no tool output found"),
        ("responses", [USER, CALL, OUTPUT, OUTPUT], "no tool call found"),
        ("responses", [USER, CALL, OUTPUT, CALL], "stands there twice"),
        ("responses", [REASONING, USER], "without the item that followed it"),
        ("responses", [USER, REASONING], "without the item that followed it"),
        ("responses", [{"role": "user"}], "not of the API's own types"),
        ("chat_completions", [USER, TOOL_MESSAGE], "no tool call found"),
        ("chat_completions", [USER, ASSISTANT_CALL], "no tool output found"),
        ("chat_completions", [USER, ASSISTANT_CALL, USER, TOOL_MESSAGE], "stands before the outputs"),
        ("chat_completions", [{"role": "user"}], "not of the API's own types"),
    ],
)
async def test_request_that_a_provider_would_refuse_gets_400(
    endpoint: ModelServer, api: Api, given: list[Any], problem: str
) -> None:
    endpoint.play(text_reply("Hello"))

    answer = await post(endpoint, api, given)

    assert answer.status_code == 400
    assert problem in endpoint.problems[0]
    endpoint.problems.clear()
    endpoint.script.clear()


def test_script_is_read_from_json() -> None:
    steps = read_script(
        json.dumps(
            [
                {"text": ["Hel", "lo"], "delay": 0.1, "fault": "cut", "after": 1},
                {"calls": [{"name": "list_tasks", "arguments": {}}], "reasoning": "gAAA"},
                {"status": 429, "headers": {"retry-after": "1"}},
                {"hangup": True},
            ]
        )
    )

    assert steps == [
        text_reply("Hel", "lo", delay=0.1, fault="cut", after=1),
        Answer(parts=(Reasoning("gAAA"), Call("list_tasks", {}))),
        HttpError(429, headers={"retry-after": "1"}),
        AbortedConnection(),
    ]


@pytest.mark.parametrize(
    "script", ["{}", "nonsense", '[{"texts": "hi"}]', '[{"text": "hi", "fault": "bang"}]', '[{"status": 1, "x": 2}]']
)
def test_invalid_script_raises_value_error(script: str) -> None:
    with pytest.raises(ValueError):
        read_script(script)
