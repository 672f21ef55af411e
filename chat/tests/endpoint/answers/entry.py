"""An answer of an endpoint, and functions that build answers in the formats of both APIs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from chat.tests.model_server import Raw, Strictness

Json = Mapping[str, Any]

ALL_RIGHT = "All right."
TEA = '{"title": "Tea"}'


class Both(TypedDict):
    """One answer in the formats of both APIs."""

    chat: Raw
    responses: Raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An answer and its expected result.

    It is played over the APIs that it is given for, followed by `then`; every other request of the turn is answered
    with "All right.". `report` is the public report of the answer, or of its cause. `reply` is the expected reply:
    empty if the turn fails, None if either outcome is valid; `failure` is part of the error message of a failed turn.
    `tasks` are the titles on the list afterwards, None if they are not checked.
    """

    report: str
    chat: Raw | None = None
    responses: Raw | None = None
    then: tuple[Raw, ...] = ()
    reply: str | None = ALL_RIGHT
    failure: str = ""
    tasks: tuple[str, ...] | None = ()
    strict: Strictness = Strictness()
    model: str = "stub-1"


def stream(*events: object, end: str = "") -> Raw:
    """Return server-sent events: a dict is one event of JSON, text and bytes are sent unchanged."""
    return Raw(tuple(event if isinstance(event, bytes) else _encode(event) for event in (*events, end) if event))


def whole(body: object, status: int = 200, content_type: str = "application/json", **headers: str) -> Raw:
    """Return an answer that is not a stream; text is sent unchanged, anything else as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Raw((text.encode(),), status, content_type, named)


def _encode(event: object) -> bytes:
    if isinstance(event, str):
        return event.encode()
    assert isinstance(event, dict)
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


# Chat Completions.

DONE = "data: [DONE]\n\n"
USAGE = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}


def chunk(delta: object = None, finish: str | None = None, **fields: object) -> dict[str, Any]:
    """Return a chunk with one choice."""
    choice = {"index": 0, "delta": {} if delta is None else delta, "logprobs": None, "finish_reason": finish}
    return bare(choices=[choice], **fields)


def bare(**fields: object) -> dict[str, Any]:
    """Return a chunk with only the common fields and these."""
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub-1", **fields}


def chat(*deltas: object, finish: str = "stop") -> Raw:
    """Return a complete stream of deltas."""
    first = chunk({"role": "assistant", "content": ""})
    usage = bare(choices=[], usage=USAGE)
    return stream(first, *map(chunk, deltas), chunk(finish=finish), usage, end=DONE)


def chat_calls(*deltas: object) -> Raw:
    """Return a complete stream of deltas with tool calls."""
    return chat(*deltas, finish="tool_calls")


def says(text: object) -> dict[str, Any]:
    """Return a text delta."""
    return {"content": text}


def calling(arguments: object = TEA, name: object = "create_task", **fields: object) -> dict[str, Any]:
    """Return one call of a delta; a field that is None is left out."""
    call = {"index": 0, "id": "call_1", "type": "function", **fields}
    return {
        **{key: value for key, value in call.items() if value is not None},
        "function": {"name": name, "arguments": arguments},
    }


def calls(*listed: object) -> dict[str, Any]:
    """Return a delta with tool calls."""
    return {"tool_calls": list(listed)}


# Responses.


def message(text: str, **fields: object) -> dict[str, Any]:
    """Return an output message."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part], **fields}


def function(arguments: object = TEA, name: object = "create_task", **fields: object) -> dict[str, Any]:
    """Return a function call; a field that is None is left out."""
    item = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "status": "completed", **fields}
    return {
        **{key: value for key, value in item.items() if value is not None},
        "name": name,
        "arguments": arguments,
    }


def response(*output: object, status: str = "completed", **fields: object) -> dict[str, Any]:
    """Return a response."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "stub-1",
        "status": status,
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "usage": {
            "input_tokens": 20,
            "output_tokens": 10,
            "total_tokens": 30,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
        **fields,
    }


def event(kind: str, **fields: object) -> dict[str, Any]:
    """Return an event of the stream."""
    return {"type": f"response.{kind}", "sequence_number": 1, **fields}


CREATED = event("created", response=response(status="in_progress", usage=None))


def delta(text: str, **fields: object) -> dict[str, Any]:
    """Return a text delta event."""
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    return event("output_text.delta", delta=text, **{**place, **fields})


def added(item: Json, output_index: int = 0) -> dict[str, Any]:
    """Return the event that starts an item."""
    return event("output_item.added", item=item, output_index=output_index)


def done(item: Json, output_index: int = 0) -> dict[str, Any]:
    """Return the event that ends an item."""
    return event("output_item.done", item=item, output_index=output_index)


def completed(*output: object, **fields: Any) -> dict[str, Any]:
    """Return the event that ends the stream."""
    return event("completed", response=response(*output, **fields))


def items(*output: Json) -> Raw:
    """Return a complete stream of whole items; messages are also sent as deltas."""
    events: list[dict[str, Any]] = []
    for n, item in enumerate(output):
        events.append(added(item, n))
        if item["type"] == "message":
            texts = [part.get("text") for part in item.get("content") or []]
            events += [delta(text, item_id=item["id"], output_index=n) for text in texts if text]
        events.append(done(item, n))
    return stream(CREATED, *events, completed(*output))
