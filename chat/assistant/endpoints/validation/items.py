"""Rebuild the items of a response so that they can be stored, run and sent to any endpoint.

What an item is known by elsewhere is in its `provider_data`: `model`, the endpoint that it comes from, and `call_id`,
the id that the endpoint gave a call. `invalid` is the output of a call that is not run.
"""

import json
import logging
import re
import secrets
import string
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents import TResponseInputItem
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types import responses

from chat.assistant.endpoints.validation.text import ThinkSplitter
from chat.infra.json_text import refuse_constant
from chat.infra.storable import storable

logger = logging.getLogger(__name__)

Item = responses.ResponseOutputMessage | responses.ResponseFunctionToolCall | responses.ResponseReasoningItem
Part = responses.ResponseOutputText | responses.ResponseOutputRefusal

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# The name of a call whose own name is invalid for every API.
NO_NAME = "unknown_tool"
# The SDK takes a call of such a name for one of a tool of its own, and raises where there is none.
SDK_NAME = "apply_patch"
# The only ids that all APIs accept: Mistral's wants exactly these.
CALL_ID = re.compile(r"[a-zA-Z0-9]{9}")
_CALL_ID_OF_OTHERS = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_ALPHABET = string.ascii_letters + string.digits
_LONGEST_ID = 65_536  # characters; an endpoint may put a signature into it
_LONGEST_ITEM_ID = 64
# Calls of one response, and characters of the arguments of one.
MOST_CALLS, LONGEST_ARGUMENTS = 128, 100_000
_QUOTED = 1_000  # characters of what a call has instead of arguments
CUT_OFF = "The call was cut off, so that nothing was done. Call the tool again."
_THOUGHTS = frozenset({"reasoning", "reasoning_text", "summary_text", "thinking", "think"})
# What the SDK notes on an item of Chat Completions and needs when it sends the item again.
_SDK_DATA = ("thought_signature", "_chat_completions_reasoning_field", "thinking_blocks")


@dataclass(slots=True)
class Output:
    """The valid items of a response."""

    items: list[Item] = field(default_factory=list)
    reply: str = ""
    reasoning: str = ""

    @property
    def has_calls(self) -> bool:
        """Whether the response calls a tool."""
        return any(isinstance(item, responses.ResponseFunctionToolCall) for item in self.items)

    @property
    def is_empty(self) -> bool:
        """Whether the response neither replies nor calls a tool."""
        return not self.reply.strip() and not self.has_calls


def sign(output: object, origin: str) -> None:
    """Note on items which endpoint they come from; `output` is what it sent as a list of them."""
    for item in output if isinstance(output, list) else ():
        if kind_of(item) in ("reasoning", "function_call"):
            given = getattr(item, "provider_data", None)
            kept = {name: given[name] for name in _SDK_DATA if given.get(name)} if isinstance(given, dict) else {}
            item.provider_data = {"model": origin, **kept}


def kind_of(item: object) -> object:
    """Return the type of an item."""
    return item.get("type") if isinstance(item, Mapping) else getattr(item, "type", None)


class OutputReader:
    """Validates the output of one response; `given` is its input, whose ids are not used again."""

    def __init__(self, given: str | Sequence[TResponseInputItem]) -> None:
        items: Sequence[Any] = () if isinstance(given, str) else given
        self._taken = {(key, str(item[key])) for item in items for key in ("id", "call_id") if item.get(key)}

    def read(self, output: Iterable[object]) -> Output:
        """Return the output with valid items only. Items of an unknown type are dropped, and calls beyond 128."""
        read = Output()
        splitter = ThinkSplitter()
        calls = 0
        for raw in output:
            kind = kind_of(raw)
            calls += kind == "function_call"
            if kind == "function_call" and calls > MOST_CALLS:
                continue
            if kind == "message":
                self._read_message(_fields(raw), splitter, read)
            elif kind == "function_call":
                read.items.append(self._call(_fields(raw)))
            elif kind == "reasoning":
                self._read_reasoning(_fields(raw), read)
            else:
                logger.warning("An output item of the type %.40r is dropped.", kind)
        if calls > MOST_CALLS:
            logger.warning("Of %d calls in one response, %d are dropped.", calls, calls - MOST_CALLS)
        _close(splitter, read)
        return read

    # -- messages

    def _read_message(self, fields: Mapping[str, Any], splitter: ThinkSplitter, read: Output) -> None:
        parts: list[Part] = []
        thoughts: list[str] = []
        for kind, text in _texts(fields.get("content")):
            if kind == "reasoning":
                thoughts.append(text)
            elif kind == "refusal":
                parts.append(responses.ResponseOutputRefusal(type="refusal", refusal=text))
                read.reply += text
            else:
                parts += self._split(text, splitter, read, thoughts)
        if thoughts:
            read.items.append(thought("".join(thoughts)))
            read.reasoning += "".join(thoughts)
        if parts:
            read.items.append(self._message(fields, parts))

    def _split(self, text: str, splitter: ThinkSplitter, read: Output, thoughts: list[str]) -> list[Part]:
        replied = ""
        for piece in splitter.feed(text):
            if piece.kind == "reasoning":
                thoughts.append(piece.text)
            if piece.retracts:
                read.items = [item for item in read.items if not isinstance(item, responses.ResponseOutputMessage)]
                read.reply = replied = ""
            replied += piece.text if piece.kind == "reply" else ""
        read.reply += replied
        return [_text_part(replied)] if replied else []

    def _message(self, fields: Mapping[str, Any], parts: list[Part]) -> responses.ResponseOutputMessage:
        phase = {"phase": fields["phase"]} if fields.get("phase") in ("commentary", "final_answer") else {}
        content: list[Any] = [*parts]
        return responses.ResponseOutputMessage(
            id=self._item_id(fields.get("id"), "msg"),
            type="message",
            role="assistant",
            status="completed",
            content=content,
            **phase,
        )

    # -- reasoning

    def _read_reasoning(self, fields: Mapping[str, Any], read: Output) -> None:
        summary = [text for _, text in _texts(fields.get("summary"))]
        content = [text for _, text in _texts(fields.get("content"))]
        encrypted = fields.get("encrypted_content")
        if not (summary or content or encrypted):
            return
        kept: dict[str, Any] = {}
        if content:
            kept["content"] = [{"type": "reasoning_text", "text": text} for text in content]
        if isinstance(encrypted, str):
            kept["encrypted_content"] = storable(encrypted)
        if isinstance(provider_data := fields.get("provider_data"), dict):
            kept["provider_data"] = storable(provider_data)
        read.items.append(
            responses.ResponseReasoningItem.model_validate(
                {
                    "id": self._item_id(fields.get("id"), "rs"),
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": text} for text in summary],
                    **kept,
                }
            )
        )
        read.reasoning += "\n\n".join(summary or content)

    # -- calls

    def _call(self, fields: Mapping[str, Any]) -> responses.ResponseFunctionToolCall:
        name, arguments, problem = _checked(fields.get("name"), fields.get("arguments"))
        if not problem and fields.get("status") == "incomplete":
            problem = _output("invalid_arguments", CUT_OFF)
        given = fields.get("provider_data")
        provider_data = dict(given) if isinstance(given, dict) else {}
        call_id = fields.get("call_id")
        if provider_data.get("model"):
            if isinstance(call_id, str) and 0 < len(call_id) <= _LONGEST_ID and storable(call_id) == call_id:
                provider_data["call_id"] = call_id
            call_id = None
        if problem:
            provider_data["invalid"] = problem
        call: dict[str, Any] = {
            "id": self._item_id(fields.get("id"), "fc"),
            "type": "function_call",
            "call_id": self._call_id(call_id),
            "name": name,
            "arguments": arguments,
        }
        if fields.get("status") in ("completed", "incomplete"):
            call["status"] = "completed"
        if provider_data:
            call["provider_data"] = storable(provider_data)
        return responses.ResponseFunctionToolCall.model_validate(call)

    # -- ids

    def _call_id(self, given: object) -> str:
        """Return an id that no call of the conversation has: the given one, if it will do."""
        if not (isinstance(given, str) and _CALL_ID_OF_OTHERS.fullmatch(given)) or ("call_id", given) in self._taken:
            given = "".join(secrets.choice(_ALPHABET) for _ in range(9))
        self._taken.add(("call_id", given))
        return given

    def _item_id(self, given: object, prefix: str) -> str:
        if given == FAKE_RESPONSES_ID or not isinstance(given, str) or not given or storable(given) != given:
            return FAKE_RESPONSES_ID
        if len(given) > _LONGEST_ITEM_ID and prefix != "rs":
            return FAKE_RESPONSES_ID
        if ("id", given) in self._taken:
            given = f"{given.partition('_')[0][:20]}_{uuid.uuid4().hex}"
        self._taken.add(("id", given))
        return given


def refusals(output: Iterable[object]) -> dict[str, str]:
    """Return the outputs of the calls of a response that are not run as they are, by the calls' ids."""
    found = {}
    for item in output:
        fields = _fields(item)
        if invalid := (fields.get("provider_data") or {}).get("invalid"):
            found[str(fields["call_id"])] = str(invalid)
    return found


def thought(text: str) -> responses.ResponseReasoningItem:
    """Return reasoning that came as text."""
    content = [{"type": "reasoning_text", "text": text}]
    item = {"id": FAKE_RESPONSES_ID, "type": "reasoning", "summary": [], "content": content}
    return responses.ResponseReasoningItem.model_validate(item)


def message(text: str) -> responses.ResponseOutputMessage:
    """Return a reply that came without its item."""
    return responses.ResponseOutputMessage(
        id=FAKE_RESPONSES_ID, type="message", role="assistant", status="completed", content=[_text_part(text)]
    )


def _text_part(text: str) -> responses.ResponseOutputText:
    return responses.ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=[])


def _close(splitter: ThinkSplitter, read: Output) -> None:
    """Add what the splitter held back, and drop reasoning that led to nothing, which APIs refuse."""
    for piece in splitter.finish():
        if piece.kind == "reasoning":
            read.reasoning += piece.text
        else:
            read.reply += piece.text
            replies = (item for item in reversed(read.items) if isinstance(item, responses.ResponseOutputMessage))
            last = next(replies, None)
            if last is None or not isinstance(last.content[-1], responses.ResponseOutputText):
                read.items.append(message(piece.text))
            else:
                last.content[-1].text += piece.text
    while read.items and isinstance(read.items[-1], responses.ResponseReasoningItem):
        read.items.pop()


def _fields(raw: object) -> Mapping[str, Any]:
    """Return an item's fields, whether it is of a known type or not."""
    if isinstance(raw, Mapping):
        return raw
    return {**getattr(raw, "__dict__", {}), **(getattr(raw, "model_extra", None) or {})}


def _texts(content: object) -> Iterator[tuple[str, str]]:
    """Yield the texts of a content, storable, each as text, refusal or reasoning; parts without a text are skipped."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for part in content if isinstance(content, list) else ():
        fields = {"text": part} if isinstance(part, str) else _fields(part)
        kind = fields.get("type")
        if kind in _THOUGHTS:
            text, kind = flat(fields.get("text") or fields.get(str(kind))), "reasoning"
        elif kind == "refusal":
            text = flat(fields.get("refusal"))
        else:
            text, kind = flat(fields.get("text")), "text"
        if text:
            yield str(kind), storable(text)


def flat(content: object) -> str:
    """Return the text of a content: a text, or a list of texts or parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(flat(part) for part in content)
    return flat(content.get("text") or content.get("content")) if isinstance(content, Mapping) else ""


def _checked(name: object, arguments: object) -> tuple[str, str, str]:
    """Return a valid name, valid arguments, and the output of a call that cannot be run as it is, if that is so."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name.lower().startswith(SDK_NAME):
        called = f"“{_quoted(name)}”" if isinstance(name, str) and name else "without a name"
        answer = f"You called {called}. There is no such tool. Call one by its name."
        return NO_NAME, "{}", _output("unknown_tool", answer)
    try:
        return name, read_arguments(arguments), ""
    except _NamedTwice as error:
        return name, "{}", _output("invalid_arguments", str(error), arguments=_quoted(arguments))
    except (ValueError, RecursionError):
        detail = "The arguments are not one JSON object, so that nothing was done. Call the tool again with valid JSON."
        return name, "{}", _output("invalid_arguments", detail, arguments=_quoted(arguments))


def read_arguments(arguments: object) -> str:
    """Return a call's arguments as the JSON of an object, with storable values only. Raise ValueError."""
    if isinstance(arguments, Mapping):
        return json.dumps(storable(dict(arguments)), allow_nan=False)
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return "{}"
    if not isinstance(arguments, str):
        raise ValueError("Arguments are a text.")
    if len(arguments) > LONGEST_ARGUMENTS:
        raise ValueError("Arguments are too long.")
    values = _load(arguments)
    if isinstance(values, str):  # JSON of JSON
        arguments, values = values, _load(values)
    if not isinstance(values, dict):
        raise ValueError("Arguments are an object.")
    kept = storable(values)
    return arguments if kept == values else json.dumps(kept)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("The number is too large.")
    return number


class _NamedTwice(ValueError):
    """An object has a name twice; which value is meant is not known."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise _NamedTwice(
                f"The arguments have “{_quoted(name)}” twice. Nothing was done: call the tool again with it once."
            )
        values[name] = value
    return values


_load = json.JSONDecoder(parse_constant=refuse_constant, parse_float=_finite, object_pairs_hook=_object).decode


def _quoted(value: object) -> str:
    text = storable(value if isinstance(value, str) else json.dumps(value, default=str))
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


def _output(code: str, detail: str, **more: str) -> str:
    return json.dumps({"ok": False, "error": code, "detail": detail, **more}, ensure_ascii=False)
