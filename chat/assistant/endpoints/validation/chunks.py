"""Repair what endpoints send as Chat Completions, before the SDK reads it.

The SDK takes fields as the API's own types have them; other servers leave some out, send `null` for them or put other
shapes there.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from openai.types.responses import ResponseFunctionToolCall
from pydantic import ValidationError

from chat.assistant.endpoints.validation.items import flat
from chat.assistant.endpoints.validation.usage import count

logger = logging.getLogger(__name__)

Fields = Mapping[str, Any]

# LiteLLM puts a signature behind this into the id of a call; the SDK takes it off for models with "gemini" in the name.
_MARK, _HIDDEN = "__thought__", "\x1fthought\x1f"
_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
# Finish reasons that servers send before the end of a response.
_CUT_OFF = frozenset({"error", "abort", "cancelled"})


def repaired_chunk(data: object) -> ChatCompletionChunk:
    """Return a chunk in the API's types; without choices if it is unusable."""
    try:
        chunk = ChatCompletionChunk.model_validate(data)
        if not any(_is_odd(choice) for choice in chunk.choices):
            return chunk
    except ValidationError:
        pass
    try:
        return ChatCompletionChunk.model_validate(_chunk(data if isinstance(data, Mapping) else {}))
    except ValidationError:
        logger.warning("A chunk that cannot be read is dropped.")
        return ChatCompletionChunk.model_validate(_chunk({}))


def repaired_completion(data: object) -> object:
    """Return a completion that was not streamed, with its message in the API's types."""
    if not isinstance(data, Mapping) or not isinstance(data.get("choices"), list):
        return data
    choices = [
        {**choice, "index": 0, "message": {"role": "assistant", **_message(_mapping(choice.get("message")))}}
        for choice in data["choices"]
        if isinstance(choice, Mapping)
    ]
    return {**data, "choices": choices[:1], "usage": _usage(data.get("usage"))}


def unmarked(output: Iterable[object]) -> None:
    """Restore the call ids that `ToolCallIndexes` hid from the SDK."""
    for item in output:
        if isinstance(item, ResponseFunctionToolCall):
            item.call_id = item.call_id.replace(_HIDDEN, _MARK)


class ToolCallIndexes:
    """Gives each call of a stream its own index: some endpoints send all of them with the index 0."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}  # the call for each index of the endpoint

    def repair(self, deltas: Sequence[ChoiceDeltaToolCall]) -> None:
        """Set the indexes of the next deltas, in place."""
        for delta in deltas:
            call = self._at.get(delta.index)
            if call is None or call.is_before(delta):
                call = self._at[delta.index] = _Call(len(self._calls))
                self._calls.append(call)
            call.add(delta)
            delta.index = call.index
            if delta.id and _MARK in delta.id:
                delta.id = delta.id.replace(_MARK, _HIDDEN)


class _Call:
    def __init__(self, index: int) -> None:
        self.index = index
        self._id = self._name = ""
        self._arguments: list[str] = []

    def add(self, delta: ChoiceDeltaToolCall) -> None:
        self._id = self._id or delta.id or ""
        if delta.function:
            self._name = self._name or delta.function.name or ""
            self._arguments.append(delta.function.arguments or "")
        if self._id:
            delta.id = self._id

    def is_before(self, delta: ChoiceDeltaToolCall) -> bool:
        """Return whether a delta of the same index begins another call: by its id, or once this one is complete."""
        name = delta.function.name if delta.function else None
        if not name or not self._name:
            return False
        if delta.id and self._id:
            return delta.id != self._id
        begins_again = name != self._name or bool(delta.function and delta.function.arguments)
        return not delta.id and begins_again and self._is_complete()

    def _is_complete(self) -> bool:
        try:
            return isinstance(json.loads("".join(self._arguments)), dict)
        except (ValueError, RecursionError):
            return False


def _is_odd(choice: Any) -> bool:
    """Return whether a choice is in the API's types, but has fields that the SDK ignores or reads twice."""
    delta = choice.delta
    if delta.function_call is not None or choice.index != 0:
        return True
    extra = delta.model_extra
    thoughts = [extra[name] for name in ("reasoning_content", "reasoning") if extra.get(name)] if extra else []
    return len(thoughts) > 1 or any(not isinstance(text, str) for text in thoughts)


def _chunk(data: Fields) -> dict[str, Any]:
    choices = data.get("choices")
    return {
        "id": str(data.get("id") or ""),
        "object": "chat.completion.chunk",
        "created": 0,
        "model": str(data.get("model") or ""),
        "choices": [_choice(choice) for choice in (choices if isinstance(choices, list) else ())[:1]],
        "usage": _usage(data.get("usage")),
    }


def _choice(choice: object) -> dict[str, Any]:
    fields = _mapping(choice)
    reason = fields.get("finish_reason")
    if not isinstance(reason, str):
        reason = "stop" if reason else None
    elif reason in _CUT_OFF:
        reason = None
    elif reason and reason not in _FINISH_REASONS:
        reason = "stop"
    # A server that does not stream sends the whole message at once.
    delta = _mapping(fields.get("delta")) or _mapping(fields.get("message"))
    message = {"content": fields["text"]} if not delta and isinstance(fields.get("text"), str) else delta
    return {"index": 0, "delta": _message(message), "finish_reason": reason or None}


def _message(fields: Fields) -> dict[str, Any]:
    """Return the fields of a message or a delta that are read: text, reasoning and calls."""
    content = fields.get("content")
    parts = content if isinstance(content, list) else []
    thoughts = [part for part in parts if isinstance(part, Mapping) and part.get("type") in ("thinking", "reasoning")]
    reasoning = flat([part.get(str(part["type"])) or part.get("text") for part in thoughts])
    reasoning = reasoning or flat(fields.get("reasoning_content")) or flat(fields.get("reasoning"))
    repaired: dict[str, Any] = {
        "content": flat([part for part in parts if part not in thoughts]) if parts else flat(content) or None,
        "refusal": flat(fields.get("refusal")) or None,
    }
    if reasoning:
        repaired["reasoning_content"] = reasoning
    calls = fields.get("tool_calls")
    calls = [_call(call, place) for place, call in enumerate(calls)] if isinstance(calls, list) else []
    if not calls and isinstance(fields.get("function_call"), Mapping):
        calls = [_call({"function": fields["function_call"]}, 0)]
    return {**repaired, "tool_calls": calls} if calls else repaired


def _call(call: object, place: int) -> dict[str, Any]:
    fields = _mapping(call)
    function = _mapping(fields.get("function")) or {key: fields[key] for key in ("name", "arguments") if key in fields}
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    index = fields.get("index")
    kept = {key: fields[key] for key in ("extra_content", "provider_specific_fields") if key in fields}
    return {
        "index": index if isinstance(index, int) else place,
        "id": fields["id"] if isinstance(fields.get("id"), str) else "",
        "type": "function",
        "function": {"name": flat(function.get("name")), "arguments": arguments or ""},
        **kept,
    }


def _usage(usage: object) -> dict[str, int] | None:
    if not isinstance(usage, Mapping):
        return None
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: count(usage.get(name)) for name in names}


def _mapping(value: object) -> Fields:
    return value if isinstance(value, Mapping) else {}
