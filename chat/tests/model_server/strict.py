"""The conversations that the strictest providers refuse, with their error messages."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionDeveloperMessageParam,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionToolMessageParam,
    ChatCompletionUserMessageParam,
)
from openai.types.responses import (
    EasyInputMessageParam,
    ResponseFunctionToolCallParam,
    ResponseOutputMessageParam,
    ResponseReasoningItemParam,
)
from openai.types.responses.response_input_param import FunctionCallOutput

from chat.tests.model_server.request import Request, text_of

Item = Mapping[str, Any]

_NAME = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
_NINE = re.compile(r"[a-zA-Z0-9]{9}", re.ASCII)
_LONGEST = 64
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")

_ROLES: Mapping[str, type] = {
    "assistant": ChatCompletionAssistantMessageParam,
    "developer": ChatCompletionDeveloperMessageParam,
    "system": ChatCompletionSystemMessageParam,
    "tool": ChatCompletionToolMessageParam,
    "user": ChatCompletionUserMessageParam,
}
_ITEMS: Mapping[str, type] = {
    "function_call": ResponseFunctionToolCallParam,
    "function_call_output": FunctionCallOutput,
    "reasoning": ResponseReasoningItemParam,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strictness:
    """How strict an endpoint is beyond the common rules.

    `call_ids`: any up to 64 characters, or those of Mistral, which also refuses a user after a tool. `reasoning` in
    Chat Completions: unknown to the endpoint (Groq, Mistral, Azure), or required with each call (DeepSeek, Kimi).
    `signatures`: each message with calls requires a Gemini signature.
    """

    call_ids: Literal["any", "mistral"] = "any"
    reasoning: Literal["unknown", "required"] = "unknown"
    signatures: bool = False

    def refusal(self, request: Request) -> str | None:
        """Return the provider's error message for a request; None if it accepts the request."""
        if any(_UNSENDABLE.search(text) for text in _texts(request.body)):
            return "We could not parse the JSON body of your request. (HINT: The request body must be valid JSON.)"
        found = self._items(request) if request.api == "responses" else self._messages(request)
        return next(found, None)

    # -- Chat Completions

    def _messages(self, request: Request) -> Iterator[str]:
        messages: Sequence[Item] = request.body["messages"]
        yield from _role_order(messages)
        for n, message in enumerate(messages):
            yield from self._keys(n, message)
            if message["role"] == "assistant":
                yield from self._assistant(n, message)
        yield from _following(messages)
        ids = [call.get("id") for message in messages for call in message.get("tool_calls") or []]
        yield from _repeated(ids)
        if self.call_ids == "mistral":
            yield from _mistral(messages, ids)

    def _keys(self, n: int, message: Item) -> Iterator[str]:
        known = set(_ROLES[message["role"]].__annotations__)
        if self.reasoning == "required":
            known |= {"reasoning_content"}
        for key in message.keys() - known:
            yield f"'messages.{n}' : property '{key}' is unsupported"

    def _assistant(self, n: int, message: Item) -> Iterator[str]:
        calls = message.get("tool_calls") or []
        if not calls and not text_of(dict(message)).strip() and not message.get("refusal"):
            yield f"Invalid request: message at position {n} with role 'assistant' must not be empty"
        if calls and self.reasoning == "required" and not message.get("reasoning_content"):
            yield "The `reasoning_content` in the thinking mode must be passed back to the API."
        if calls and self.signatures and not _signature(calls[0]):
            yield (
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to work"
                " correctly, and missing thought_signature may lead to degraded model performance."
            )
        known = set(ChatCompletionMessageFunctionToolCallParam.__annotations__)
        for k, call in enumerate(calls):
            where = f"messages[{n}].tool_calls[{k}]"
            extra = call.keys() - known - ({"extra_content"} if self.signatures else set())
            yield from (f"Unknown parameter: '{where}.{key}'." for key in extra)
            yield from _call(where, call.get("id"), call["function"].get("name"), call["function"].get("arguments"))

    # -- Responses

    def _items(self, request: Request) -> Iterator[str]:
        items = request.items
        for n, item in enumerate(items):
            known = _known_keys(item)
            yield from (f"Unknown parameter: 'input[{n}].{key}'." for key in item.keys() - known)
            if item.get("role") == "assistant" and "type" not in item:
                yield "Cannot determine type of 'item'"  # llama.cpp
            if len(str(item.get("id") or "")) > _LONGEST:
                yield f"Invalid 'input[{n}].id': string too long. Expected a string with maximum length {_LONGEST}."
            if item.get("type") == "function_call":
                yield from _call(f"input[{n}]", item.get("call_id"), item.get("name"), item.get("arguments"))
            elif item.get("role") == "assistant" and not text_of(item).strip():
                yield f"Invalid 'input[{n}].content': empty. Expected a message that is not empty."
        yield from _paired(items)
        yield from _repeated([item["call_id"] for item in items if item.get("type") == "function_call"])
        yield from _repeated([item["id"] for item in items if item.get("id")])


def _call(where: str, call_id: object, name: object, arguments: object) -> Iterator[str]:
    """Find the errors in one call, with the messages of OpenAI and DashScope."""
    id_name = "call_id" if where.startswith("input") else "id"
    function = "" if where.startswith("input") else ".function"
    yield from _text(f"{where}.{id_name}", call_id)
    yield from _text(f"{where}{function}.name", name)
    if isinstance(name, str) and name and not _NAME.fullmatch(name):
        yield (
            f"Invalid '{where}{function}.name': string does not match pattern."
            " Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        )
    if not _is_object(arguments):
        yield (
            '<400> InternalError.Algo.InvalidParameter: The "function.arguments" parameter of the code model'
            " must be in JSON format."
        )


def _text(where: str, value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"Missing required parameter: '{where}'."
    elif not value:
        yield (
            f"Invalid '{where}': empty string. Expected a string with minimum length 1,"
            " but got an empty string instead."
        )
    elif len(value) > _LONGEST:
        yield (
            f"Invalid '{where}': string too long. Expected a string with maximum length {_LONGEST},"
            f" but got a string with length {len(value)} instead."
        )


def _is_object(arguments: object) -> bool:
    try:
        return isinstance(arguments, str) and isinstance(json.loads(arguments, parse_constant=_no_constant), dict)
    except ValueError:
        return False


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON.")


def _signature(call: Item) -> object:
    return ((call.get("extra_content") or {}).get("google") or {}).get("thought_signature")


def _role_order(messages: Sequence[Item]) -> Iterator[str]:
    roles = [message["role"] for message in messages]
    if any(role in ("system", "developer") for role in roles[1:]):
        yield "System message must be at the beginning."
    first = next((role for role in roles if role not in ("system", "developer")), "user")
    if first != "user":
        yield f"Conversation roles must alternate user/assistant/user/assistant/..., and begin with user, not {first}."
    if roles[-1] == "assistant":
        yield "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant"


def _following(messages: Sequence[Item]) -> Iterator[str]:
    """Find calls without an output directly after their message, and outputs without a call."""
    waiting: list[str] = []
    for message in [*messages, {"role": "end"}]:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                yield "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
            else:
                waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            yield (
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
                f" 'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}"
            )
        waiting = [str(call.get("id")) for call in message.get("tool_calls") or []]


def _mistral(messages: Sequence[Item], ids: Iterable[object]) -> Iterator[str]:
    for call_id in ids:
        if not _NINE.fullmatch(str(call_id)):
            yield f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
    for before, message in zip(messages, messages[1:], strict=False):
        if before["role"] == "tool" and message["role"] == "user":
            yield "Unexpected role 'user' after role 'tool'"


def _paired(items: Sequence[Item]) -> Iterator[str]:
    """Find unpaired calls and outputs, outputs before their call, and reasoning without a following item."""
    called = {item["call_id"] for item in items if item.get("type") == "function_call"}
    answered: set[str] = set()
    seen: set[str] = set()
    for item, after in zip(items, [*items[1:], {}], strict=True):
        kind = item.get("type")
        if kind == "function_call":
            seen.add(item["call_id"])
        elif kind == "function_call_output":
            if item["call_id"] not in seen or item["call_id"] in answered:
                yield f"No tool call found for function call output with call_id {item['call_id']}."
            answered.add(item["call_id"])
        elif kind == "reasoning" and not (
            after.get("type") in ("reasoning", "function_call") or after.get("role") == "assistant"
        ):
            yield f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."
    yield from (f"No tool output found for function call {call_id}." for call_id in sorted(called - answered))


def _repeated(ids: Sequence[object]) -> Iterator[str]:
    seen: set[object] = set()
    for value in ids:
        if value in seen:
            yield f"Duplicate item found with id {value}. Remove duplicate items from your input and try again."
        seen.add(value)


def _known_keys(item: Item) -> set[str]:
    if (kind := _ITEMS.get(str(item.get("type")))) is not None:
        return set(kind.__annotations__)
    given = ResponseOutputMessageParam if item.get("id") else EasyInputMessageParam
    return set(given.__annotations__)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
