"""A model whose responses are valid, whatever its endpoint returns."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, get_args

from agents import Model, ModelResponse
from agents.items import TResponseStreamEvent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseOutputItemDoneEvent,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseRefusalDeltaEvent,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from chat.assistant.endpoints.failures import TOO_LONG, incomplete, incomplete_reason
from chat.assistant.endpoints.validation.items import Output, OutputReader, message, thought
from chat.assistant.endpoints.validation.text import Piece, ThinkSplitter
from chat.assistant.endpoints.validation.usage import count
from chat.assistant.endpoints.wrapping import Ask, Events, Given, WrappedModel, closed_after
from chat.exceptions import ModelFailed
from chat.infra.storable import is_storable, storable

logger = logging.getLogger(__name__)

NO_ANSWER = "The assistant gave no answer."
LONGEST_ANSWER = 4_000_000  # characters of reply and reasoning, some million tokens


_THOUGHTS = (ResponseReasoningTextDeltaEvent, ResponseReasoningSummaryTextDeltaEvent)
_ENDS = (ResponseFailedEvent, ResponseIncompleteEvent, ResponseErrorEvent)
# Keep-alive events: not used, but they show that the endpoint is working.
_PROGRESS = (ResponseFunctionCallArgumentsDeltaEvent,)
_KNOWN = frozenset(
    get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(get_args(ResponseStreamEvent)[0])
)


class ValidModel(WrappedModel):
    """Yields the deltas of reply and reasoning, and then one completed response of valid items.

    What the deltas add up to is what the response holds. `on_retract` is called when a part of the reply turns out not
    to belong to it, before the reply is sent again. Raise ModelFailed if a response neither replies nor calls a tool.
    """

    def __init__(self, inner: Model, on_retract: Callable[[], None] = lambda: None) -> None:
        super().__init__(inner)
        self._on_retract = on_retract

    async def get_response(self, system_instructions: Any, input: Given, *args: Any, **kwargs: Any) -> ModelResponse:
        response = await self.inner.get_response(system_instructions, input, *args, **kwargs)
        output = OutputReader(input).read(response.output)
        if output.is_empty:
            raise ModelFailed(NO_ANSWER, retryable=False)
        response.output = [*output.items]
        return response

    async def watch(self, given: Given, ask: Ask) -> Events:
        stream = _Stream(given, self._on_retract)
        async with closed_after(ask()) as events:
            async for event in events:
                if stream.size > LONGEST_ANSWER:
                    raise TOO_LONG.failure()
                if isinstance(event, ResponseTextDeltaEvent) and stream.take(event.delta):
                    yield event
                elif isinstance(event, ResponseTextDeltaEvent):
                    for valid in stream.text(event):
                        yield valid
                elif isinstance(event, ResponseCompletedEvent):
                    for valid in stream.completed(event):
                        yield valid
                    yield event
                else:
                    for valid in stream.other(event):
                        yield valid


class _Stream:
    """A response while it arrives."""

    def __init__(self, given: Given, on_retract: Callable[[], None]) -> None:
        self._given = given
        self._on_retract = on_retract
        self._splitter = ThinkSplitter()
        self._half = ""  # of a surrogate pair
        self._replied: list[str] = []
        self._thought: list[str] = []
        self._part: object = None  # the part of the reasoning that is arriving
        self._done: list[object] = []  # items
        self.size = 0  # characters of reply and reasoning so far

    def take(self, delta: str) -> bool:
        """Accept a piece of text that is valid unchanged, as most are; return whether it is."""
        if self._half or not isinstance(delta, str) or not is_storable(delta) or not self._splitter.take(delta):
            return False
        self._replied.append(delta)
        self.size += len(delta)
        return True

    def text(self, event: ResponseTextDeltaEvent) -> Iterator[TResponseStreamEvent]:
        """Yield the next piece of the text."""
        delta = self._whole(event.delta)
        for piece in self._splitter.feed(delta) if delta else ():
            yield from self._piece(piece, event)

    def other(self, event: TResponseStreamEvent) -> Iterator[TResponseStreamEvent]:
        """Yield the valid part of an event that is neither text nor the end."""
        if isinstance(event, ResponseRefusalDeltaEvent):
            if delta := self._whole(event.delta):
                self._replied.append(delta)
                event.delta = delta
                yield event
        elif isinstance(event, _THOUGHTS):
            yield from self._reason(event)
        elif isinstance(event, ResponseOutputItemDoneEvent):
            self._done.append(event.item)
        elif isinstance(event, _ENDS + _PROGRESS):
            yield event
        elif (kind := getattr(event, "type", None)) not in _KNOWN:
            logger.warning("An event of the type %.40r is dropped.", kind)

    def completed(self, event: ResponseCompletedEvent) -> Iterator[TResponseStreamEvent]:
        """Make the response valid; yield what its deltas lacked. Raise ModelFailed."""
        for piece in self._splitter.finish():
            yield from self._piece(piece, None)
        response = event.response = getattr(event, "response", None) or Response.model_construct(id="")
        given = getattr(response, "output", None)
        output = OutputReader(self._given).read(given if isinstance(given, list) and given else self._done)
        if len(output.reply) + len(output.reasoning) > LONGEST_ANSWER:
            raise TOO_LONG.failure()
        if output.has_calls and getattr(response, "status", None) == "incomplete":
            raise incomplete(incomplete_reason(response))
        yield from self._missing(output)
        if output.is_empty:
            raise ModelFailed(NO_ANSWER, retryable=False)
        response.output = [*output.items]
        response.usage = _valid(getattr(response, "usage", None))

    def _missing(self, output: Output) -> Iterator[TResponseStreamEvent]:
        reply, streamed = output.reply, "".join(self._replied)
        if output.reasoning and not self._thought:
            yield self._thinks(output.reasoning)
        if not reply.strip() and streamed:
            if self._thought and not output.reasoning:
                output.items.insert(0, thought("".join(self._thought)))
            calls = (n for n, item in enumerate(output.items) if isinstance(item, ResponseFunctionToolCall))
            output.items.insert(next(calls, len(output.items)), message(streamed))
            output.reply = streamed
        elif reply != streamed and reply.strip():
            if not reply.startswith(streamed):
                self._on_retract()
                streamed = ""
            yield _text(reply[len(streamed) :])

    def _piece(self, piece: Piece, event: ResponseTextDeltaEvent | None) -> Iterator[TResponseStreamEvent]:
        if piece.retracts:
            self._on_retract()
            self._replied.clear()
        if piece.kind == "reasoning":
            yield self._thinks(piece.text)
            return
        self._replied.append(piece.text)
        if event is not None and piece.text == event.delta:
            yield event
        else:
            yield _text(piece.text)

    def _reason(self, event: Any) -> Iterator[TResponseStreamEvent]:
        delta = self._whole(event.delta)
        part = (event.type, event.output_index, getattr(event, "summary_index", None))
        if delta:
            between = "\n\n" if self._thought and self._part not in (None, part) else ""
            self._part = part
            yield self._thinks(between + delta)

    def _thinks(self, text: str) -> TResponseStreamEvent:
        self._thought.append(text)
        return ResponseReasoningTextDeltaEvent.model_construct(type="response.reasoning_text.delta", delta=text)

    def _whole(self, delta: object) -> str:
        """Return a storable delta; half of a surrogate pair waits for the other half."""
        if not isinstance(delta, str):
            return ""
        self.size += len(delta)
        delta = self._half + delta
        self._half = delta[-1] if "\ud800" <= delta[-1:] <= "\udbff" else ""
        return str(storable(delta[:-1] if self._half else delta))


def _text(delta: str) -> TResponseStreamEvent:
    return ResponseTextDeltaEvent.model_construct(type="response.output_text.delta", delta=delta)


def _valid(usage: object) -> ResponseUsage | None:
    """Return the token counts of a response that are numbers."""
    if usage is None:
        return None
    inputs_used, outputs_used = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    inputs, outputs = getattr(usage, "input_tokens_details", None), getattr(usage, "output_tokens_details", None)
    return ResponseUsage(
        input_tokens=inputs_used,
        output_tokens=outputs_used,
        total_tokens=_count(usage, "total_tokens") or inputs_used + outputs_used,
        input_tokens_details=InputTokensDetails(
            cached_tokens=_count(inputs, "cached_tokens"), cache_write_tokens=_count(inputs, "cache_write_tokens")
        ),
        output_tokens_details=OutputTokensDetails(reasoning_tokens=_count(outputs, "reasoning_tokens")),
    )


def _count(usage: object, name: str) -> int:
    return count(getattr(usage, name, None))
