"""A finished answer, told as the sequence of events of the Responses API."""

import re
from collections.abc import Iterator, Sequence
from itertools import count

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
# Each is an event that everything on its way to the page handles.
MOST_PIECES = 500


def events(response: Response) -> Iterator[TResponseStreamEvent]:
    """Yield everything a provider would have sent on the way to this response."""
    numbers = count()
    begun = response.model_copy(update={"output": [], "status": "in_progress", "usage": None})
    yield ResponseCreatedEvent(type="response.created", response=begun, sequence_number=next(numbers))
    yield ResponseInProgressEvent(type="response.in_progress", response=begun, sequence_number=next(numbers))
    for index, item in enumerate(response.output):
        if isinstance(item, ResponseOutputMessage):
            yield from _message_events(item, index, numbers)
        elif isinstance(item, ResponseFunctionToolCall):
            yield from _call_events(item, index, numbers)
    yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=next(numbers))


def _message_events(item: ResponseOutputMessage, index: int, numbers: Iterator[int]) -> Iterator[TResponseStreamEvent]:
    yield _added(item.model_copy(update={"content": [], "status": "in_progress"}), index, numbers)
    for place, part in enumerate(item.content):
        if isinstance(part, ResponseOutputText):
            yield from _text_events(part, item.id, index, place, numbers)
    yield _done(item, index, numbers)


def _text_events(
    part: ResponseOutputText, item_id: str, index: int, place: int, numbers: Iterator[int]
) -> Iterator[TResponseStreamEvent]:
    yield ResponseContentPartAddedEvent(
        type="response.content_part.added",
        item_id=item_id,
        output_index=index,
        content_index=place,
        part=part.model_copy(update={"text": ""}),
        sequence_number=next(numbers),
    )
    for piece in _pieces(part.text):
        yield ResponseTextDeltaEvent(
            type="response.output_text.delta",
            item_id=item_id,
            output_index=index,
            content_index=place,
            delta=piece,
            logprobs=[],
            sequence_number=next(numbers),
        )
    yield ResponseTextDoneEvent(
        type="response.output_text.done",
        item_id=item_id,
        output_index=index,
        content_index=place,
        text=part.text,
        logprobs=[],
        sequence_number=next(numbers),
    )
    yield ResponseContentPartDoneEvent(
        type="response.content_part.done",
        item_id=item_id,
        output_index=index,
        content_index=place,
        part=part,
        sequence_number=next(numbers),
    )


def _pieces(text: str) -> list[str]:
    """Cut a text into its words or, if it is long, into several at a time."""
    words = _WORDS.findall(text)
    size = -(-len(words) // MOST_PIECES) or 1
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def _call_events(item: ResponseFunctionToolCall, index: int, numbers: Iterator[int]) -> Iterator[TResponseStreamEvent]:
    item_id = item.id or item.call_id
    yield _added(item.model_copy(update={"arguments": "", "status": "in_progress"}), index, numbers)
    yield ResponseFunctionCallArgumentsDeltaEvent(
        type="response.function_call_arguments.delta",
        item_id=item_id,
        output_index=index,
        delta=item.arguments,
        sequence_number=next(numbers),
    )
    # Which fields this event needs changed between versions of the openai package: extra ones are kept.
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
    yield _done(item, index, numbers)


def _added(item: TResponseOutputItem, index: int, numbers: Iterator[int]) -> TResponseStreamEvent:
    return ResponseOutputItemAddedEvent(
        type="response.output_item.added", item=item, output_index=index, sequence_number=next(numbers)
    )


def _done(item: TResponseOutputItem, index: int, numbers: Iterator[int]) -> TResponseStreamEvent:
    return ResponseOutputItemDoneEvent(
        type="response.output_item.done", item=item, output_index=index, sequence_number=next(numbers)
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
    """Return what a response says and calls, as one text to be measured."""
    parts: list[str] = []
    for item in output:
        if isinstance(item, ResponseOutputMessage):
            parts += [part.text for part in item.content if isinstance(part, ResponseOutputText)]
        elif isinstance(item, ResponseFunctionToolCall):
            parts += [item.name, item.arguments]
    return "".join(parts)
