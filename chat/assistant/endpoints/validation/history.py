"""Prepare the items of a conversation for a request, so that the strictest endpoint accepts them.

Items may come from another model, from an older version or from another program.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agents.models.fake_id import FAKE_RESPONSES_ID

from chat.assistant.endpoints.validation.items import CALL_ID, NAME, NO_NAME, flat, read_arguments
from chat.infra.storable import storable
from chat.memory.items import is_output, is_reasoning, is_user_message

LONGEST_OUTPUT = 8_000  # characters of a tool's output in a request; it is stored whole
# A placeholder for required but missing reasoning: the APIs treat an empty text as missing.
NO_REASONING = " "
# A placeholder for the reply of a turn that ended without one.
NO_REPLY = "I did not finish this reply."

Item = dict[str, Any]
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def prepared(items: Sequence[Mapping[str, Any]], origin: str, *, own_ids: bool = True) -> Iterator[Item]:
    """Yield the items with valid calls and bounded outputs; with `own_ids` an endpoint gets its own call ids back.

    `origin` is the endpoint's name in `provider_data`, which items from other endpoints lose.
    """
    ids = _CallIds(origin if own_ids else None)
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            yield _call(item, ids, origin)
        elif kind == "function_call_output":
            yield {**item, "call_id": ids.of(item), "output": _bounded(item.get("output"))}
        elif kind == "message" and item.get("role") == "assistant":
            yield from _reply(item)
        else:
            yield _without_data(item) if _origin(item) not in (None, origin) else dict(item)


def is_of(item: Mapping[str, Any], origin: str | None) -> bool:
    """Return whether an item comes from an endpoint."""
    return origin is not None and _origin(item) == origin


def with_replies(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items with a reply wherever a user's message follows an output: some APIs refuse that order."""
    before: Item = {}
    for item in items:
        if is_output(before) and is_user_message(item):
            yield {"role": "assistant", "content": NO_REPLY}
        before = item
        yield item


def with_reasoning(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items with a placeholder wherever a response has no reasoning."""
    may_begin = True
    for item in items:
        answered = is_user_message(item) or is_output(item)
        if may_begin and not answered and not is_reasoning(item):
            yield _placeholder()
        may_begin = answered
        yield item


def _placeholder() -> Item:
    return {"type": "reasoning", "id": FAKE_RESPONSES_ID, "summary": [{"type": "summary_text", "text": NO_REASONING}]}


def _origin(item: Mapping[str, Any]) -> str | None:
    data = item.get("provider_data")
    return data.get("model") if isinstance(data, dict) else None


def _without_data(item: Mapping[str, Any]) -> Item:
    return {key: value for key, value in item.items() if key != "provider_data"}


def _call(item: Mapping[str, Any], ids: "_CallIds", origin: str) -> Item:
    call = {**_without_data(item), "call_id": ids.of(item)}
    if is_of(item, origin):
        call["provider_data"] = item["provider_data"]
    else:
        call.pop("id", None)  # APIs refuse ids of other providers, and need none
    if not (item.get("provider_data") or {}).get("call_id"):  # otherwise it was validated on arrival
        _validate(call)
    return call


def _validate(call: Item) -> None:
    if not NAME.fullmatch(str(call.get("name"))):
        call["name"] = NO_NAME
    try:
        call["arguments"] = read_arguments(call.get("arguments"))
    except (ValueError, RecursionError):
        call["arguments"] = "{}"


def _reply(item: Mapping[str, Any]) -> Iterator[Item]:
    """Yield a reply with parts that all APIs support; nothing if it has no text, which some refuse."""
    reply, content = _without_data(item), item.get("content")
    if isinstance(content, list):
        reply["content"] = content = [_part(part) for part in content if _text_of(part)]
    if content and not (isinstance(content, str) and content.isspace()):
        yield reply


def _part(part: Any) -> Any:
    if isinstance(part, Mapping) and part.get("type") in ("output_text", "refusal"):
        return part
    return {"type": "output_text", "text": _text_of(part), "annotations": []}


def _text_of(part: Any) -> str:
    return flat(part) or (flat(part.get("refusal")) if isinstance(part, Mapping) else "")


def _bounded(output: object) -> object:
    text = output if isinstance(output, str) else flat(output)
    if len(text) <= LONGEST_OUTPUT:
        return storable(output)
    return storable(f"{text[:LONGEST_OUTPUT]}\n[{len(text) - LONGEST_OUTPUT:,} more characters are left out.]")


class _CallIds:
    """The ids of calls as an endpoint gets them."""

    def __init__(self, origin: str | None) -> None:
        self._origin = origin
        self._sent: dict[str, str] = {}

    def of(self, item: Mapping[str, Any]) -> str:
        """Return the id for a call and its output: the endpoint's own id if it is unique."""
        ours = str(item.get("call_id") or "")
        if ours not in self._sent:
            theirs = item["provider_data"].get("call_id") if is_of(item, self._origin) else None
            taken = self._sent.values()
            self._sent[ours] = theirs if theirs and theirs not in taken else _accepted_everywhere(ours)
        return self._sent[ours]


def _accepted_everywhere(call_id: str) -> str:
    if CALL_ID.fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode(errors="surrogatepass")).digest()[:8])
    return "".join(_ALPHABET[number // 36**place % 36] for place in range(9))
