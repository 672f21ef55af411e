"""A request to a model, in one form for both APIs, and whether a provider would accept it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import TypeAdapter, ValidationError

Api = Literal["responses", "chat_completions"]
Item = dict[str, Any]

PATHS: dict[str, Api] = {"/v1/responses": "responses", "/v1/chat/completions": "chat_completions"}

_INPUT: dict[Api, TypeAdapter[Any]] = {
    "responses": TypeAdapter(ResponseInputParam),
    "chat_completions": TypeAdapter(list[ChatCompletionMessageParam]),
}
_TOOLS: dict[Api, TypeAdapter[Any]] = {
    "responses": TypeAdapter(list[FunctionToolParam]),
    "chat_completions": TypeAdapter(list[ChatCompletionFunctionToolParam]),
}


@dataclass
class Request:
    """A request to a model."""

    api: Api
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def stream(self) -> bool:
        """Whether the answer is to be streamed."""
        return bool(self.body.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether a streamed answer should include its token usage."""
        return self.api == "responses" or bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def model(self) -> str:
        """The name of the requested model."""
        return str(self.body.get("model", ""))

    @property
    def instructions(self) -> str:
        """The instructions that precede the conversation."""
        if self.api == "responses":
            return str(self.body.get("instructions") or "")
        return "\n".join(text_of(message) for message in self._messages if message["role"] in ("system", "developer"))

    @cached_property
    def items(self) -> list[Item]:
        """The conversation as items of the Responses API."""
        if self.api == "chat_completions":
            return [item for message in self._messages for item in _as_items(message)]
        value = self.body["input"]
        return [{"role": "user", "content": value}] if isinstance(value, str) else list(value)

    @property
    def tool_names(self) -> list[str]:
        """The names of the tools that the model may call."""
        tools = self.body.get("tools") or []
        return [str((tool["function"] if self.api == "chat_completions" else tool)["name"]) for tool in tools]

    @property
    def last_user_text(self) -> str:
        """The text of the last user message."""
        return next((text_of(item) for item in reversed(self.items) if item.get("role") == "user"), "")

    @property
    def outputs(self) -> dict[str, str]:
        """The tool outputs by call id."""
        return {item["call_id"]: item["output"] for item in self.items if item.get("type") == "function_call_output"}

    @property
    def _messages(self) -> list[Item]:
        return cast(list[Item], self.body["messages"])

    def problems(self) -> list[str]:
        """Return why a provider would refuse the request; empty if it would accept it."""
        try:
            _validate(_INPUT[self.api], self.body["input" if self.api == "responses" else "messages"])
            _validate(_TOOLS[self.api], self.body.get("tools") or [])
        except (KeyError, ValidationError) as error:
            return [f"not of the API's own types: {error}"]
        problems = _pairing_problems(self.items)
        return problems + (
            _order_problems(self._messages) if self.api == "chat_completions" else _reasoning_problems(self.items)
        )


def _validate(adapter: TypeAdapter[Any], value: object) -> None:
    # A bare string is a valid input of the Responses API.
    if not isinstance(value, str):
        adapter.validate_python(value)


def text_of(item: Item) -> str:
    """Return the text of a message, for every form of its content."""
    content = item.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or part.get("refusal") or "") for part in content)


def _as_items(message: Item) -> list[Item]:
    role = message["role"]
    if role == "tool":
        output = text_of(message)
        return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}]
    if role == "user":
        return [{"role": "user", "content": text_of(message)}]
    if role != "assistant":
        return []
    text = text_of(message) or str(message.get("refusal") or "")
    return ([{"role": "assistant", "content": text}] if text else []) + [
        {
            "type": "function_call",
            "call_id": call["id"],
            "name": call["function"]["name"],
            "arguments": call["function"]["arguments"],
        }
        for call in message.get("tool_calls") or []
    ]


def _pairing_problems(items: Sequence[Item]) -> list[str]:
    """Find outputs before their call, calls without exactly one output, and repeated call ids."""
    problems = []
    calls: set[str] = set()
    answered: set[str] = set()
    for item in items:
        call_id = str(item.get("call_id"))
        if item.get("type") == "function_call":
            if call_id in calls:
                problems.append(f"the call id {call_id} stands there twice")
            calls.add(call_id)
        elif item.get("type") == "function_call_output":
            if call_id not in calls or call_id in answered:
                problems.append(f"no tool call found for the output of {call_id}")
            answered.add(call_id)
    return problems + [f"no tool output found for the call {call_id}" for call_id in sorted(calls - answered)]


def _order_problems(messages: Sequence[Item]) -> list[str]:
    """Find messages between calls and their outputs, which Chat Completions forbids."""
    problems = []
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            waiting.discard(message["tool_call_id"])
        elif waiting:
            problems.append(f"a message of the {message['role']} stands before the outputs of {sorted(waiting)}")
            waiting = set()
        if message["role"] == "assistant":
            waiting = {call["id"] for call in message.get("tool_calls") or []}
    return problems


def _reasoning_problems(items: Sequence[Item]) -> list[str]:
    """Find reasoning without a following item, which the Responses API requires."""
    problems = []
    for item, following in zip(items, [*items[1:], {}], strict=True):
        is_followed = following.get("type") in ("reasoning", "function_call") or following.get("role") == "assistant"
        if item.get("type") == "reasoning" and not is_followed:
            problems.append(f"the reasoning {item.get('id')} is without the item that followed it")
    return problems
