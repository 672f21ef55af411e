"""Convert a finished response into the events of the Responses API."""

import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TypedDict

from agents.items import TResponseOutputItem, TResponseStreamEvent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseFunctionToolCall,
    ResponseInProgressEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseUsage,
)

_WORDS = re.compile(r"\s*\S+|\s+")
# Every event is processed by the whole pipeline up to the browser.
MOST_PIECES = 500


class _Position(TypedDict):
    """The position of a part of a message in the response."""

    item_id: str
    output_index: int
    content_index: int


def events(response: Response) -> Iterator[TResponseStreamEvent]:
    """Yield the events that a provider would have sent before this response was complete."""
    numbers = count()
    begun = response.model_copy(update={"output": [], "status": "in_progress", "usage": None})
    yield ResponseCreatedEvent(type="response.created", response=begun, sequence_number=next(numbers))
    yield ResponseInProgressEvent(type="response.in_progress", response=begun, sequence_number=next(numbers))
    for index, item in enumerate(response.output):
        if isinstance(item, ResponseOutputMessage):
            inner = _message_events(item, index, numbers)
            empty: TResponseOutputItem = item.model_copy(update={"content": [], "status": "in_progress"})
        elif isinstance(item, ResponseFunctionToolCall):
            inner = _call_events(item, index, numbers)
            empty = item.model_copy(update={"arguments": "", "status": "in_progress"})
        else:
            continue
        yield ResponseOutputItemAddedEvent(
            type="response.output_item.added", item=empty, output_index=index, sequence_number=next(numbers)
        )
        yield from inner
        yield ResponseOutputItemDoneEvent(
            type="response.output_item.done", item=item, output_index=index, sequence_number=next(numbers)
        )
    yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=next(numbers))


def _message_events(item: ResponseOutputMessage, index: int, numbers: Iterator[int]) -> Iterator[TResponseStreamEvent]:
    for place, part in enumerate(item.content):
        if not isinstance(part, ResponseOutputText):
            continue
        at = _Position(item_id=item.id, output_index=index, content_index=place)
        empty = part.model_copy(update={"text": ""})
        yield ResponseContentPartAddedEvent(
            type="response.content_part.added", part=empty, sequence_number=next(numbers), **at
        )
        for piece in _pieces(part.text):
            yield ResponseTextDeltaEvent(
                type="response.output_text.delta", delta=piece, logprobs=[], sequence_number=next(numbers), **at
            )
        yield ResponseTextDoneEvent(
            type="response.output_text.done", text=part.text, logprobs=[], sequence_number=next(numbers), **at
        )
        yield ResponseContentPartDoneEvent(
            type="response.content_part.done", part=part, sequence_number=next(numbers), **at
        )


def _pieces(text: str) -> list[str]:
    """Split a text into words or, if it is long, into groups of words."""
    words = _WORDS.findall(text)
    size = -(-len(words) // MOST_PIECES) or 1
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def _call_events(item: ResponseFunctionToolCall, index: int, numbers: Iterator[int]) -> Iterator[TResponseStreamEvent]:
    item_id = item.id or item.call_id
    yield ResponseFunctionCallArgumentsDeltaEvent(
        type="response.function_call_arguments.delta",
        item_id=item_id,
        output_index=index,
        delta=item.arguments,
        sequence_number=next(numbers),
    )
    # The fields that this event requires differ between versions of the openai package: extra ones are kept.
    yield ResponseFunctionCallArgumentsDoneEvent.model_validate(
        {
            "type": "response.function_call_arguments.done",
            "item_id": item_id,
            "output_index": index,
            "arguments": item.arguments,
            "name": item.name,
            "sequence_number": next(numbers),
        }
    )


def estimated_usage(read: int, written: int) -> ResponseUsage:
    """Estimate tokens at four characters each, the usual rule of thumb for English."""
    tokens_in, tokens_out = max(1, read // 4), max(1, written // 4)
    return ResponseUsage.model_validate(
        {
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }
    )


def written_text(output: Sequence[TResponseOutputItem]) -> str:
    """Return the text and the calls of a response, to measure them."""
    parts: list[str] = []
    for item in output:
        if isinstance(item, ResponseOutputMessage):
            parts += [part.text for part in item.content if isinstance(part, ResponseOutputText)]
        elif isinstance(item, ResponseFunctionToolCall):
            parts += [item.name, item.arguments]
    return "".join(parts)
