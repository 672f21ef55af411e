"""Make sure that each id of a response can be kept, and that none stands in the conversation already.

Some providers begin at `call_0` in each response. The SDK joins calls and items by their ids over the whole history, so
that a repeated one would take the place of the old.
"""

import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

from agents import TResponseInputItem
from agents.items import TResponseStreamEvent
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
)

from chat.assistant.wrapping import Ask, WrappedModel, closed_after
from chat.infra.storable import storable

# What every API takes back and the journal can hold.
_CALL_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class UniqueIds(WrappedModel):
    """Replaces every item and call id of a response that its input has already, or that came before in the response."""

    async def watch(self, given: str | list[TResponseInputItem], ask: Ask) -> AsyncIterator[TResponseStreamEvent]:
        names = _Names(given)
        async with closed_after(ask()) as events:
            async for event in events:
                if isinstance(event, ResponseOutputItemAddedEvent | ResponseOutputItemDoneEvent):
                    names.make_unique(event.item, event.output_index)
                elif isinstance(event, ResponseCompletedEvent):
                    for index, item in enumerate(event.response.output):
                        names.make_unique(item, index)
                yield event


def _storable(arguments: str) -> str:
    """Return a call's arguments with a mark in the place of each character that cannot be stored."""
    try:
        given = json.loads(arguments)
    except ValueError:
        return arguments
    kept = storable(given)
    return arguments if kept == given else json.dumps(kept)


class _Names:
    """Remembers which ids are taken, and what was chosen for each place of the response."""

    def __init__(self, given: str | list[TResponseInputItem]) -> None:
        items: list[Any] = [] if isinstance(given, str) else list(given)
        self._taken = {(key, str(item[key])) for item in items for key in ("id", "call_id") if item.get(key)}
        self._chosen: dict[tuple[int, str, str], str] = {}

    def make_unique(self, item: Any, place: int) -> None:
        if isinstance(item, ResponseFunctionToolCall):
            item.arguments = _storable(item.arguments)
        for key in ("id", "call_id"):
            name = getattr(item, key, None)
            if name and name != FAKE_RESPONSES_ID:
                setattr(item, key, self._choose(place, key, name))

    def _choose(self, place: int, key: str, name: str) -> str:
        known = self._chosen.get((place, key, name))
        if known is not None:
            return known
        if key == "call_id" and not _CALL_ID.fullmatch(name):
            chosen = f"call_{uuid.uuid4().hex}"
        elif (key, name) in self._taken:
            chosen = f"{name.partition('_')[0]}_{uuid.uuid4().hex}"
        else:
            chosen = name
        self._taken.add((key, chosen))
        # Seen again under either name in a later event of the same place.
        self._chosen[place, key, name] = self._chosen[place, key, chosen] = chosen
        return chosen
