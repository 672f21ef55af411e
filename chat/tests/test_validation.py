"""Any response of a model becomes a valid one, and the streamed deltas add up to it."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import pytest
from agents import TResponseInputItem
from agents.items import TResponseStreamEvent
from agents.testing import ScriptedModel
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseOutputItemDoneEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
)

from chat.assistant.endpoints.validation.chunks import ToolCallIndexes, repaired_chunk
from chat.assistant.endpoints.validation.history import LONGEST_OUTPUT, prepared, with_reasoning, with_replies
from chat.assistant.endpoints.validation.items import CALL_ID, refusals
from chat.assistant.endpoints.validation.model import ValidModel
from chat.exceptions import ModelFailed

Json = dict[str, Any]

THIS_MODEL = "model at here"
EMOJI = "\U0001f600"


class Validated:
    """The streamed and the stored parts of a validated response."""

    def __init__(self) -> None:
        self.reply = self.reasoning = ""
        self.retracted: list[str] = []
        self.output: list[Json] = []

    def retract(self) -> None:
        self.retracted.append(self.reply)
        self.reply = ""

    @property
    def text(self) -> str:
        """The text of the messages that are stored."""
        parts = [part for item in self.output if item["type"] == "message" for part in item["content"]]
        return "".join(part.get("text") or part["refusal"] for part in parts)

    @property
    def calls(self) -> list[Json]:
        """The calls that are stored."""
        return [item for item in self.output if item["type"] == "function_call"]


async def validated(events: Iterable[TResponseStreamEvent], given: Sequence[Json] = ()) -> Validated:
    """Pass events through validation as a model's stream."""
    result = Validated()

    async def stream() -> AsyncIterator[TResponseStreamEvent]:
        for event in events:
            yield event

    history: list[TResponseInputItem] = [*given]  # type: ignore[list-item]
    async for event in ValidModel(ScriptedModel(), result.retract).watch(history, stream):
        if isinstance(event, ResponseTextDeltaEvent | ResponseRefusalDeltaEvent):
            result.reply += event.delta
        elif isinstance(event, ResponseReasoningTextDeltaEvent):
            result.reasoning += event.delta
        elif isinstance(event, ResponseCompletedEvent):
            result.output = [item.model_dump(mode="json", exclude_unset=True) for item in event.response.output]
    return result


def delta(text: str) -> TResponseStreamEvent:
    """Return a text delta."""
    return ResponseTextDeltaEvent.construct(type="response.output_text.delta", delta=text)


def completed(*output: Json, **fields: object) -> TResponseStreamEvent:
    """Return the end of a response as the client parses it, without checking types."""
    data = {"type": "response.completed", "response": {"id": "r", "output": [*output], **fields}}
    return ResponseCompletedEvent.construct(**data)  # type: ignore[arg-type]


def text(*texts: str, kind: str = "output_text") -> Json:
    """Return a message with one or several parts."""
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": kind, "text": text, "annotations": []} for text in texts],
    }


def call(name: object = "create_task", arguments: object = "{}", call_id: object = "c1", **fields: object) -> Json:
    """Return a function call."""
    return {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id, **fields}


# -- text and reasoning

THOUGHTS = {
    "one delta": (["<think>Hm.</think>Hello."], "Hm.", "Hello."),
    "blanks around it": (["\n<think>\nHm.\n</think>\n\nHello."], "\nHm.\n", "Hello."),
    "split tags": (["<th", "ink>H", "m.</thi", "nk>", "\n", "Hel", "lo."], "Hm.", "Hello."),
    "a letter at a time": ([*"<think>a</think>b<"], "a", "b<"),
    "the other tag": (["<thinking>Hm.</thinking>Hello."], "Hm.", "Hello."),
    "no opening tag": (["Hm. ", "So\n</think>\n", "Hello."], "Hm. So\n", "Hello."),
    "unclosed at the end": (["Hello.\n<think>Was that right"], "Was that right", "Hello.\n"),
    "twice": (["<think>a</think>", "One.", "<think>b</think>", " Two."], "ab", "One. Two."),
    "quoted": (["Write `<think>` and `</think>`."], "", "Write `<think>` and `</think>`."),
    "another tag": (["1 < 2, <b>", "bold</b>, <thin"], "", "1 < 2, <b>bold</b>, <thin"),
    "blanks only before it": (["  \n", "Hello."], "", "  \nHello."),
}


@pytest.mark.parametrize("name", THOUGHTS)
async def test_reasoning_is_separated_from_the_reply(name: str) -> None:
    deltas, thought, reply = THOUGHTS[name]
    result = await validated([*map(delta, deltas), completed(text("".join(deltas)))])

    assert (result.reply, result.text) == (reply, reply)
    assert result.reasoning == thought
    stored = [part["text"] for item in result.output if item["type"] == "reasoning" for part in item["content"]]
    assert "".join(stored) == thought


async def test_streamed_reply_that_turns_out_to_be_reasoning_is_retracted() -> None:
    result = await validated([delta("Let me see."), delta("</think>Yes."), completed(text("Let me see.</think>Yes."))])

    assert result.retracted == ["Let me see."]
    assert (result.reasoning, result.reply, result.text) == ("Let me see.", "Yes.", "Yes.")


@pytest.mark.parametrize("kind", ["text", "input_text", "markdown"])
async def test_text_parts_of_an_unknown_type_become_output_text(kind: str) -> None:
    result = await validated([completed(text("Hel", "lo.", kind=kind))])

    assert (result.reply, result.text) == ("Hello.", "Hello.")
    assert {part["type"] for part in result.output[0]["content"]} == {"output_text"}


async def test_string_content_becomes_one_part() -> None:
    assert (await validated([completed(text("") | {"content": "Hello."})])).text == "Hello."


async def test_thinking_parts_within_a_message_become_reasoning() -> None:
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."}]
    result = await validated([completed(text("") | {"content": content})])

    assert (result.reasoning, result.text) == ("Hm.", "Yes.")


# -- the deltas and the response agree


async def test_response_without_deltas_is_streamed() -> None:
    result = await validated([completed(text("Hello."))])
    assert (result.reply, result.text) == ("Hello.", "Hello.")


async def test_item_known_only_from_its_done_event_is_in_the_response() -> None:
    data = {"type": "response.output_item.done", "item": text("Hello."), "output_index": 0}
    done = ResponseOutputItemDoneEvent.construct(**data)  # type: ignore[arg-type]
    result = await validated([done, completed()])
    assert (result.reply, result.text) == ("Hello.", "Hello.")


async def test_deltas_without_an_item_become_a_message() -> None:
    result = await validated([delta("Hel"), delta("lo."), completed(call())])

    assert (result.reply, result.text) == ("Hello.", "Hello.")
    assert [item["type"] for item in result.output] == ["message", "function_call"]


async def test_text_missing_from_the_deltas_is_streamed() -> None:
    result = await validated([delta("Hel"), completed(text("Hello."))])
    assert (result.reply, result.retracted) == ("Hello.", [])


async def test_response_replaces_deltas_that_differ() -> None:
    result = await validated([delta("Helo."), completed(text("Hello."))])
    assert (result.reply, result.retracted, result.text) == ("Hello.", ["Helo."], "Hello.")


EMPTY = {
    "nothing": [completed()],
    "no output": [completed(output=None)],
    "blanks": [delta(" \n"), completed(text(" \n"))],
    "an empty text": [completed(text(""))],
    "reasoning alone": [delta("<think>Hm."), completed(text("<think>Hm."))],
    "an unknown item": [completed({"type": "hologram", "id": "h1"})],
}


@pytest.mark.parametrize("name", EMPTY)
async def test_response_without_text_or_call_raises_model_failed(name: str) -> None:
    with pytest.raises(ModelFailed, match=r"The assistant gave no answer\."):
        await validated(EMPTY[name])


async def test_unknown_items_and_events_are_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    strange = ResponseTextDeltaEvent.construct(type="response.hologram", delta="secret")
    result = await validated([strange, completed({"type": "hologram", "text": "secret"}, text("Hello."))])

    assert [item["type"] for item in result.output] == ["message"]
    assert "hologram" in caplog.text
    assert "secret" not in caplog.text


# -- characters that cannot be stored

UNSTORABLE = {
    "a pair in two deltas": (["Hi \ud83d", "\ude00!"], f"Hi {EMOJI}!"),
    "half a pair": (["Hi \ud83d", "!"], "Hi \ufffd!"),
    "half a pair at the end": (["Hi \ud83d"], "Hi \ufffd"),
    "the other half": (["\ude00 Hi"], "\ufffd Hi"),
    "NUL": (["a\0b"], "a\ufffdb"),
}


@pytest.mark.parametrize("name", UNSTORABLE)
async def test_characters_that_cannot_be_stored_are_replaced(name: str) -> None:
    deltas, expected = UNSTORABLE[name]
    result = await validated([*map(delta, deltas), completed(text("".join(deltas)))])
    assert (result.reply, result.text) == (expected, expected)


# -- calls

INVALID = {
    "malformed": '{"title": a}',
    "cut off": '{"title": "a',
    "two objects": '{"title": "a"}{"title": "b"}',
    "a list": "[1, 2]",
    "NaN": '{"number": NaN}',
    "beyond all numbers": '{"number": 1e400}',
    "a number": "7",
    "too deep": "[" * 100_000,
    "a list that is no text": [1, 2],
}


@pytest.mark.parametrize("name", INVALID)
async def test_invalid_arguments_are_quoted_in_an_error_output(name: str) -> None:
    arguments = INVALID[name]
    result = await validated([completed(call(arguments=arguments))])

    (stored,) = result.calls
    assert stored["arguments"] == "{}"
    output = json.loads(refusals(result.output)[stored["call_id"]])
    assert output["error"] == "invalid_arguments"
    assert output["arguments"].rstrip("…") == str(arguments)[:1000]


@pytest.mark.parametrize(
    ("arguments", "stored"),
    [("", {}), (None, {}), ({"a": 1}, {"a": 1}), ('"{\\"a\\": 1}"', {"a": 1}), ('{"a": "\\ud83d"}', {"a": "\ufffd"})],
)
async def test_arguments_equivalent_to_an_object_are_accepted(arguments: object, stored: Json) -> None:
    result = await validated([completed(call(arguments=arguments))])

    assert json.loads(result.calls[0]["arguments"]) == stored
    assert refusals(result.output) == {}


@pytest.mark.parametrize("name", ["", None, "x" * 65, "create task", "créer", "a\0b", "apply_patch", 7])
async def test_invalid_tool_name_becomes_an_error_output(name: object) -> None:
    result = await validated([completed(call(name, call_id=None))])

    (stored,) = result.calls
    assert stored["name"] == "unknown_tool"
    assert json.loads(refusals(result.output)[stored["call_id"]])["error"] == "unknown_tool"


async def test_call_id_is_replaced_and_the_endpoints_id_is_kept() -> None:
    signature = "call_1__thought__" + "x" * 5_000
    result = await validated([completed(call(call_id=signature, provider_data={"model": THIS_MODEL}))])

    (stored,) = result.calls
    assert CALL_ID.fullmatch(stored["call_id"])
    assert stored["provider_data"] == {"model": THIS_MODEL, "call_id": signature}


@pytest.mark.parametrize("call_id", [None, "", "c1", "a\0b", "x" * 200])
async def test_missing_repeated_and_invalid_call_ids_are_generated(call_id: object) -> None:
    result = await validated([completed(call(call_id=call_id), call(call_id=call_id))], given=[call(call_id="c1")])

    ids = [stored["call_id"] for stored in result.calls]
    assert len({*ids, "c1"}) == 3
    assert all(CALL_ID.fullmatch(call_id) for call_id in ids)


async def test_item_id_already_in_the_conversation_is_replaced() -> None:
    result = await validated([completed(text("Hello."))], given=[text("Hello.")])
    assert result.output[0]["id"] != "msg_1"


# -- items sent to an endpoint


def sent(*items: Json, origin: str = THIS_MODEL) -> list[Json]:
    """Return items as an endpoint gets them."""
    return list(prepared(items, origin))


def output_of(call_id: str, output: object = "{}") -> Json:
    """Return the output of a call."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def signed(call_id: str, endpoint_id: str) -> Json:
    """Return a call that an endpoint made, as it is stored."""
    return call(call_id=call_id, id="fc_1", provider_data={"model": THIS_MODEL, "call_id": endpoint_id})


def test_endpoint_gets_its_own_id_on_call_and_output() -> None:
    first, output = sent(signed("aaaaaaaaa", "their/id"), output_of("aaaaaaaaa"))
    assert first["call_id"] == output["call_id"] == "their/id"


def test_repeated_endpoint_id_is_sent_for_one_call_only() -> None:
    items = sent(signed("aaaaaaaaa", "call_0"), output_of("aaaaaaaaa"), signed("bbbbbbbbb", "call_0"))
    assert [item["call_id"] for item in items] == ["call_0", "call_0", "bbbbbbbbb"]


def test_another_endpoint_gets_ids_that_every_api_accepts() -> None:
    items = sent(
        signed("aaaaaaaaa", "their/id"),
        output_of("aaaaaaaaa"),
        call(call_id="call_old"),
        output_of("call_old"),
        origin="another",
    )
    ids = [item["call_id"] for item in items]

    assert ids[0] == ids[1] == "aaaaaaaaa"
    assert ids[2] == ids[3] != "call_old"
    assert all(CALL_ID.fullmatch(call_id) for call_id in ids)
    assert not any("provider_data" in item or "id" in item for item in items)


def test_history_of_an_older_version_is_sent_with_valid_items() -> None:
    items = sent(
        call("no name", "{"),
        output_of("c1", "a\0b"),
        text(" "),
        text(""),
        text("Hello.", kind="output_audio"),
    )

    assert (items[0]["name"], items[0]["arguments"]) == ("unknown_tool", "{}")
    assert items[1]["output"] == "a\ufffdb"
    assert [part["type"] for part in items[-1]["content"]] == ["output_text"]


@pytest.mark.parametrize("output", ["x" * 8_123, [{"type": "input_text", "text": "x" * 8_123}]])
def test_long_output_is_truncated_with_the_number_of_missing_characters(output: object) -> None:
    (item,) = sent(output_of("aaaaaaaaa", output))
    assert item["output"] == "x" * LONGEST_OUTPUT + "\n[123 more characters are left out.]"


def test_reply_is_inserted_between_an_output_and_a_user_message() -> None:
    user = {"role": "user", "content": "Hello"}
    items = list(with_replies([user, call(), output_of("c1"), user]))
    assert [item.get("role") for item in items] == ["user", None, None, "assistant", "user"]


def test_response_without_reasoning_gets_a_placeholder() -> None:
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    user = {"role": "user", "content": "Hello"}
    items = with_reasoning([user, reasoning, call(), call(), output_of("c1"), output_of("c2"), text("Yes."), user])

    assert [item.get("type", "user") for item in items] == [
        *("user", "reasoning", "function_call", "function_call", "function_call_output", "function_call_output"),
        *("reasoning", "message", "user"),
    ]


# -- chunks of Chat Completions


def chunk(**fields: object) -> ChatCompletionChunk:
    """Return the repaired chunk of one choice, whose delta has these fields."""
    return repaired_chunk({"choices": [{"index": 0, "delta": fields}]})


@pytest.mark.parametrize(
    "content", ["Hi", ["Hi"], [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}], {"text": "Hi"}]
)
def test_chunk_content_becomes_a_string(content: object) -> None:
    assert chunk(content=content).choices[0].delta.content == "Hi"


REASONING: dict[str, Json] = {
    "reasoning_content": {"reasoning_content": "Hm."},
    "both fields": {"reasoning_content": "Hm.", "reasoning": "Hm."},
    "a list": {"reasoning_content": [{"type": "text", "text": "Hm."}]},
    "a part of the content": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
}


@pytest.mark.parametrize("name", REASONING)
def test_reasoning_of_a_chunk_is_read_once(name: str) -> None:
    read = chunk(**REASONING[name]).choices[0].delta
    assert (read.model_extra, read.content or "") == ({"reasoning_content": "Hm."}, "")


SHAPES: dict[str, object] = {
    "no choices": {"usage": {"prompt_tokens": 1}},
    "choices null": {"choices": None},
    "delta null": {"choices": [{"index": 0, "delta": None}]},
    "no JSON object": [1],
    "a text of usage": {"choices": [], "usage": "none"},
    "a choice that is a text": {"choices": ["Hi"]},
}


@pytest.mark.parametrize("name", SHAPES)
def test_chunks_of_unexpected_shape_are_accepted(name: str) -> None:
    read = repaired_chunk(SHAPES[name])
    assert all(choice.delta.content is None for choice in read.choices)


@pytest.mark.parametrize(
    ("given", "read"), [("stop", "stop"), ("eos", "stop"), ("error", None), ("", None), ("length", "length")]
)
def test_unknown_finish_reason_becomes_stop_and_error_becomes_none(given: str, read: str | None) -> None:
    assert repaired_chunk({"choices": [{"delta": {}, "finish_reason": given}]}).choices[0].finish_reason == read


def joined(*deltas: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the names and arguments of the calls that deltas, each in a chunk of its own, add up to."""
    indexes = ToolCallIndexes()
    calls: dict[int, tuple[str, str]] = {}
    for one in deltas:
        read = chunk(tool_calls=[one]).choices[0].delta.tool_calls or []
        indexes.repair(read)
        for part in read:
            assert part.function is not None
            name, arguments = calls.get(part.index, ("", ""))
            calls[part.index] = (name or part.function.name or "", arguments + (part.function.arguments or ""))
    return list(calls.values())


def part(arguments: object = "", name: str | None = None, **fields: object) -> Json:
    """Return a delta of a call."""
    return {"index": 0, "function": {"name": name, "arguments": arguments}, **fields}


CALLS: dict[str, list[Json]] = {
    "as it should be": [part("", "a", id="1"), part('{"n"'), part(": 1}"), part("{}", "b", index=1, id="2")],
    "one index, two ids": [part('{"n": 1}', "a", id="1"), part("", "b", id="2"), part("{}")],
    "one index, no ids": [part('{"n": 1}', "a", id=""), part("{}", "b")],
    "no index": [
        {"id": "1", "function": {"name": "a", "arguments": '{"n": 1}'}},
        {"id": "2", "function": {"name": "b", "arguments": "{}"}},
    ],
    "the name in each": [part('{"n"', "a", id="1"), part(": 1}", "a", id="1"), part("{}", "b", id="2")],
    "arguments that are no text": [part({"n": 1}, "a", id="1"), part({}, "b", index=1, id="2")],
    "another id in each delta": [part('{"n"', "a", id="1"), part(": 1}", id="x"), part("{}", "b", id="2")],
}


@pytest.mark.parametrize("name", CALLS)
def test_parallel_calls_are_separated(name: str) -> None:
    assert [(called, json.loads(arguments)) for called, arguments in joined(*CALLS[name])] == [
        ("a", {"n": 1}),
        ("b", {}),
    ]


def test_legacy_function_call_becomes_a_tool_call() -> None:
    read = chunk(function_call={"name": "a", "arguments": "{}"}).choices[0].delta
    assert [(one.function.name, one.function.arguments) for one in read.tool_calls or [] if one.function] == [
        ("a", "{}")
    ]
