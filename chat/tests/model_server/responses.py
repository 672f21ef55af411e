"""The Responses API's format, in the client's own types."""

import time
from collections.abc import Iterator
from typing import Any, Literal

from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseError,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseInProgressEvent,
    ResponseOutputItem,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseRefusalDeltaEvent,
    ResponseRefusalDoneEvent,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseUsage,
)
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_reasoning_item import Summary
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from chat.tests.model_server.pieces import Ids, Kind, Piece, encode
from chat.tests.model_server.request import Request
from chat.tests.model_server.script import Answer, Call, Part, Reasoning, Refusal

Status = Literal["completed", "failed", "in_progress", "incomplete"]


class ResponsesWire:
    """One answer in the format of the Responses API, streamed or whole."""

    def __init__(self, request: Request, answer: Answer) -> None:
        ids = Ids(repeated=answer.repeated_ids)
        self._request = request
        self._answer = answer
        self._id = ids.new("resp")
        self._output = [_item(part, ids) for part in answer.parts]
        self._number = 0

    def whole(self) -> bytes:
        """Return the answer in one piece."""
        return encode(self._response(_status(self._answer)))

    def pieces(self) -> Iterator[Piece]:
        """Yield the events of a complete stream."""
        started = self._response("in_progress")
        yield self._piece(ResponseCreatedEvent(type="response.created", response=started, **self._next()))
        yield self._piece(ResponseInProgressEvent(type="response.in_progress", response=started, **self._next()))
        for index, (part, item) in enumerate(zip(self._answer.parts, self._output, strict=True)):
            yield from self._item_events(part, item, index)
        done = ResponseCompletedEvent(type="response.completed", response=self._response("completed"), **self._next())
        yield self._piece(done, "closing")

    def failure(self, fault: str) -> list[Piece]:
        """Return the events that report a failure, instead of the last piece."""
        self._number -= 1
        if fault == "incomplete":
            unfinished = self._response("incomplete")
            return [
                self._piece(ResponseIncompleteEvent(type="response.incomplete", response=unfinished, **self._next()))
            ]
        if fault == "overflow":
            message = "Your input exceeds the context window of this model."
            error = ResponseErrorEvent(type="error", code="context_length_exceeded", message=message, **self._next())
            return [self._piece(error)]
        failed = self._response("failed", code="invalid_prompt" if fault == "refused" else "server_error")
        return [self._piece(ResponseFailedEvent(type="response.failed", response=failed, **self._next()))]

    # -- the shapes

    def _response(self, status: Status, code: Literal["server_error", "invalid_prompt"] = "server_error") -> Response:
        has_ended = status != "in_progress"
        return Response(
            id=self._id,
            object="response",
            created_at=int(time.time()),
            model=self._request.model,
            status=status,
            error=ResponseError(code=code, message="It did not work out.") if status == "failed" else None,
            incomplete_details=IncompleteDetails(reason="max_output_tokens") if status == "incomplete" else None,
            instructions=self._request.instructions or None,
            metadata={},
            output=self._output if status == "completed" else [],
            parallel_tool_calls=True,
            temperature=1.0,
            top_p=1.0,
            tool_choice="auto",
            tools=[],
            usage=_usage(self._answer) if has_ended else None,
        )

    def _item_events(self, part: Part, item: ResponseOutputItem, index: int) -> Iterator[Piece]:
        added = ResponseOutputItemAddedEvent(
            type="response.output_item.added", item=_empty_item(item), output_index=index, **self._next()
        )
        yield self._piece(added)
        if isinstance(part, Call):
            yield from self._call_events(part, item, index)
        elif not isinstance(part, Reasoning):
            yield from self._message_events(part, item, index)
        done = ResponseOutputItemDoneEvent(
            type="response.output_item.done", item=item, output_index=index, **self._next()
        )
        yield self._piece(done)

    def _call_events(self, call: Call, item: ResponseOutputItem, index: int) -> Iterator[Piece]:
        location: dict[str, Any] = {"item_id": item.id, "output_index": index}
        for chunk in call.chunks:
            delta = ResponseFunctionCallArgumentsDeltaEvent(
                type="response.function_call_arguments.delta", delta=chunk, **location, **self._next()
            )
            yield self._piece(delta, "content", call.delay)
        done = ResponseFunctionCallArgumentsDoneEvent(
            type="response.function_call_arguments.done", arguments=call.json, **location, **self._next()
        )
        yield self._piece(done)

    def _message_events(self, part: Any, item: ResponseOutputItem, index: int) -> Iterator[Piece]:
        location: dict[str, Any] = {"item_id": item.id, "output_index": index, "content_index": 0}
        empty, full = _content(part, ""), _content(part, part.whole)
        yield self._piece(
            ResponseContentPartAddedEvent(type="response.content_part.added", part=empty, **location, **self._next())
        )
        for chunk in part.chunks:
            yield self._piece(self._delta(part, chunk, location), "content", part.delay)
        yield self._piece(self._text_done(part, location))
        yield self._piece(
            ResponseContentPartDoneEvent(type="response.content_part.done", part=full, **location, **self._next())
        )

    def _delta(self, part: Part, chunk: str, location: dict[str, Any]) -> ResponseStreamEvent:
        if isinstance(part, Refusal):
            return ResponseRefusalDeltaEvent(type="response.refusal.delta", delta=chunk, **location, **self._next())
        return ResponseTextDeltaEvent(
            type="response.output_text.delta", delta=chunk, logprobs=[], **location, **self._next()
        )

    def _text_done(self, part: Any, location: dict[str, Any]) -> ResponseStreamEvent:
        if isinstance(part, Refusal):
            return ResponseRefusalDoneEvent(
                type="response.refusal.done", refusal=part.whole, **location, **self._next()
            )
        return ResponseTextDoneEvent(
            type="response.output_text.done", text=part.whole, logprobs=[], **location, **self._next()
        )

    def _next(self) -> dict[str, Any]:
        self._number += 1
        return {"sequence_number": self._number - 1}

    def _piece(self, event: ResponseStreamEvent, kind: Kind = "frame", delay: float = 0.0) -> Piece:
        return Piece(b"event: %s\ndata: %s\n\n" % (event.type.encode(), encode(event)), kind, delay)


def _status(answer: Answer) -> Status:
    if answer.fault in ("failed", "refused"):
        return "failed"
    return "incomplete" if answer.fault == "incomplete" else "completed"


def _item(part: Part, ids: Ids) -> ResponseOutputItem:
    if isinstance(part, Reasoning):
        summary = [Summary(type="summary_text", text=part.summary)] if part.summary else []
        return ResponseReasoningItem(
            id=ids.new("rs"), type="reasoning", summary=summary, encrypted_content=part.encrypted
        )
    if isinstance(part, Call):
        return ResponseFunctionToolCall(
            id=ids.new("fc"),
            call_id=part.call_id or ids.new("call"),
            type="function_call",
            name=part.name,
            arguments=part.json,
            status="completed",
        )
    return ResponseOutputMessage(
        id=ids.new("msg"), type="message", role="assistant", status="completed", content=[_content(part, part.whole)]
    )


def _content(part: Part, text: str) -> ResponseOutputText | ResponseOutputRefusal:
    if isinstance(part, Refusal):
        return ResponseOutputRefusal(type="refusal", refusal=text)
    return ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=[])


def _empty_item(item: ResponseOutputItem) -> ResponseOutputItem:
    """Return an item as its added event contains it: empty."""
    if isinstance(item, ResponseFunctionToolCall):
        return item.model_copy(update={"arguments": "", "status": "in_progress"})
    if isinstance(item, ResponseOutputMessage):
        return item.model_copy(update={"content": [], "status": "in_progress"})
    return item.model_copy(update={"summary": [], "encrypted_content": ""})


def _usage(answer: Answer) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=answer.input_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
        output_tokens=answer.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        total_tokens=answer.input_tokens + answer.output_tokens,
    )
