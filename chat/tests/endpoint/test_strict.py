"""The strict endpoint refuses each invalid conversation with a provider's error message."""

from collections.abc import Mapping
from typing import Any

import pytest

from chat.tests.model_server import Request, Strictness

Item = Mapping[str, Any]

SYSTEM = {"role": "system", "content": "Keep the list."}
USER = {"role": "user", "content": "Add tea"}
TOOL = {"role": "tool", "tool_call_id": "call_1", "content": "{}"}
REPLY = {"role": "assistant", "content": "Added."}
MESSAGE = REPLY | {"type": "message"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "{}"}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}


def calling(arguments: str = "{}", name: str = "list_tasks", call_id: str | None = "call_1", **fields: Any) -> Item:
    """Return a message with one call."""
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call], **fields}


def function(arguments: str = "{}", name: str = "list_tasks", call_id: str = "call_1", **fields: Any) -> Item:
    """Return one call as an item."""
    return {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id, **fields}


MESSAGES: dict[str, tuple[list[Item], str]] = {
    "malformed arguments": ([USER, calling("{"), TOOL], "function.arguments"),
    "a list of arguments": ([USER, calling("[]"), TOOL], "function.arguments"),
    "NaN": ([USER, calling('{"number": NaN}'), TOOL], "function.arguments"),
    "an empty name": ([USER, calling(name=""), TOOL], "empty string"),
    "a name with a dot": ([USER, calling(name="a.b"), TOOL], "does not match pattern"),
    "a long name": ([USER, calling(name="a" * 65), TOOL], "string too long"),
    "no id": ([USER, calling(call_id=None), TOOL], "Missing required parameter: 'messages[1].tool_calls[0].id'"),
    "a long id": ([USER, calling(call_id="a" * 65), TOOL], "string too long"),
    "a repeated id": ([USER, calling(), TOOL, calling(), TOOL], "Duplicate item found with id call_1"),
    "an output without its call": ([USER, TOOL], "must be a response to a preceeding message"),
    "a call without its output": ([USER, calling(), REPLY, USER], "did not have response messages: call_1"),
    "a late output": ([USER, calling(), USER, TOOL], "did not have response messages: call_1"),
    "the assistant first": ([SYSTEM, REPLY, USER], "begin with user, not assistant"),
    "two system messages": ([SYSTEM, USER, SYSTEM], "System message must be at the beginning"),
    "the assistant last": ([USER, REPLY], "Expected last role User or Tool"),
    "an empty reply": ([USER, {"role": "assistant", "content": " "}, USER], "must not be empty"),
    "reasoning": ([USER, REPLY | {"reasoning_content": "Tea."}, USER], "'reasoning_content' is unsupported"),
    "a field of the product": ([USER, REPLY | {"provider_data": {}}, USER], "'provider_data' is unsupported"),
    "a NUL character": ([{"role": "user", "content": "a\0b"}], "could not parse the JSON"),
    "a lone surrogate": ([{"role": "user", "content": "a\ud83d"}], "could not parse the JSON"),
}
ITEMS: dict[str, tuple[list[Item], str]] = {
    "malformed arguments": ([USER, function("{"), OUTPUT], "function.arguments"),
    "an empty name": ([USER, function(name=""), OUTPUT], "Invalid 'input[1].name': empty string"),
    "a long call id": ([USER, function(call_id="a" * 65)], "Invalid 'input[1].call_id': string too long"),
    "a long item id": ([USER, function(id="a" * 65), OUTPUT], "Invalid 'input[1].id': string too long"),
    "a repeated item id": ([USER, REASONING, REASONING, MESSAGE], "Duplicate item found with id rs_1"),
    "an output without its call": ([USER, OUTPUT], "No tool call found for function call output"),
    "an output before its call": ([USER, OUTPUT, function()], "No tool call found for function call output"),
    "a call without its output": ([USER, function(), USER], "No tool output found for function call call_1"),
    "an item without a type": ([USER, REPLY, USER], "Cannot determine type of 'item'"),
    "reasoning only": ([USER, REASONING, USER], "without its required following item"),
    "an empty reply": ([USER, MESSAGE | {"content": ""}, USER], "Expected a message that is not empty"),
    "a field of the product": (
        [USER, function(provider_data={}), OUTPUT],
        "Unknown parameter: 'input[1].provider_data'",
    ),
    "a NUL character": ([{"role": "user", "content": "a\0b"}], "could not parse the JSON"),
}
VARIANTS: dict[str, tuple[Strictness, list[Item], str]] = {
    "an id that is not Mistral's": (Strictness(call_ids="mistral"), [USER, calling(), TOOL], "with a length of 9"),
    "a user after a tool": (
        Strictness(call_ids="mistral"),
        [USER, calling(call_id="b9mgIC84m"), TOOL | {"tool_call_id": "b9mgIC84m"}, USER],
        "Unexpected role 'user' after role 'tool'",
    ),
    "no reasoning": (Strictness(reasoning="required"), [USER, calling(), TOOL], "must be passed back"),
    "no signature": (Strictness(signatures=True), [USER, calling(), TOOL], "missing a thought_signature"),
}


@pytest.mark.parametrize(("messages", "error"), MESSAGES.values(), ids=MESSAGES.keys())
def test_messages_that_no_provider_accepts_are_refused(messages: list[Item], error: str) -> None:
    assert error in str(Strictness().refusal(Request("chat_completions", {"messages": messages})))


@pytest.mark.parametrize(("items", "error"), ITEMS.values(), ids=ITEMS.keys())
def test_items_that_no_provider_accepts_are_refused(items: list[Item], error: str) -> None:
    assert error in str(Strictness().refusal(Request("responses", {"input": items})))


@pytest.mark.parametrize(("strictness", "messages", "error"), VARIANTS.values(), ids=VARIANTS.keys())
def test_messages_that_one_provider_does_not_accept_are_refused(
    strictness: Strictness, messages: list[Item], error: str
) -> None:
    assert error in str(strictness.refusal(Request("chat_completions", {"messages": messages})))
