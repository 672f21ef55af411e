"""The Chat Completions API's format, in the client's own types."""

import json
import time
from collections.abc import Iterator
from typing import Literal

from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageToolCallUnion,
)
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall, ChoiceDeltaToolCallFunction
from openai.types.chat.chat_completion_message_function_tool_call import Function
from openai.types.completion_usage import CompletionUsage

from chat.tests.model_server.pieces import Ids, Kind, Piece, encode, error_body
from chat.tests.model_server.request import Request
from chat.tests.model_server.script import Answer, Call, Part, Reasoning, Refusal, Text

Finish = Literal["stop", "length", "tool_calls"]
DONE = Piece(b"data: [DONE]\n\n", "closing")


class CompletionsWire:
    """One answer in the Chat Completions format, streamed or whole; reasoning as DeepSeek and others send it."""

    def __init__(self, request: Request, answer: Answer) -> None:
        ids = Ids(repeated=answer.repeated_ids)
        self._request = request
        self._answer = answer
        self._id = ids.new("chatcmpl")
        self._created = int(time.time())
        self._calls = [part for part in answer.parts if isinstance(part, Call)]
        self._call_ids = [call.call_id or ids.new("call") for call in self._calls]

    def whole(self) -> bytes:
        """Return the answer in one piece."""
        choice = Choice(index=0, finish_reason=self._finish, logprobs=None, message=self._message())
        return encode(
            ChatCompletion(
                id=self._id,
                object="chat.completion",
                created=self._created,
                model=self._request.model,
                choices=[choice],
                usage=self._usage(),
            )
        )

    def pieces(self) -> Iterator[Piece]:
        """Yield the chunks of a complete stream."""
        yield self._chunk(ChoiceDelta(role="assistant", content="", refusal=None))
        for part in self._answer.parts:
            yield from self._part_chunks(part)
        yield from self._closing(self._finish)

    def failure(self, fault: str) -> list[Piece]:
        """Return the chunks that report a failure."""
        if fault == "incomplete":
            return list(self._closing("length"))
        if fault == "overflow":
            body = error_body("Context size has been exceeded.", kind="server_error", code=None)
            return [Piece(b"data: %s\n\n" % json.dumps(body).encode())]
        is_refusal = fault == "refused"
        kind, code = ("invalid_request_error", "invalid_prompt") if is_refusal else ("server_error", "server_error")
        body = error_body("It did not work out.", kind=kind, code=code)
        return [Piece(b"data: %s\n\n" % json.dumps(body).encode())]

    # -- the shapes

    @property
    def _finish(self) -> Finish:
        if self._answer.fault == "incomplete":
            return "length"
        return "tool_calls" if self._calls else "stop"

    def _message(self) -> ChatCompletionMessage:
        texts = [part for part in self._answer.parts if isinstance(part, Text) and not isinstance(part, Refusal)]
        refusals = [part for part in self._answer.parts if isinstance(part, Refusal)]
        message = ChatCompletionMessage(
            role="assistant",
            content="".join(part.whole for part in texts) if texts else None,
            refusal="".join(part.whole for part in refusals) if refusals else None,
        )
        if self._calls:
            message.tool_calls = self._tool_calls()
        return message

    def _tool_calls(self) -> list[ChatCompletionMessageToolCallUnion]:
        return [
            ChatCompletionMessageFunctionToolCall(
                id=call_id, type="function", function=Function(name=call.name, arguments=call.json)
            )
            for call_id, call in zip(self._call_ids, self._calls, strict=True)
        ]

    def _part_chunks(self, part: Part) -> Iterator[Piece]:
        if isinstance(part, Call):
            yield from self._call_chunks(part)
        elif isinstance(part, Reasoning):
            if part.summary:
                yield self._chunk(ChoiceDelta.model_validate({"reasoning_content": part.summary}))
        elif isinstance(part, Text):
            field = "refusal" if isinstance(part, Refusal) else "content"
            for text in part.chunks:
                yield self._chunk(ChoiceDelta.model_validate({field: text}), "content", part.delay)

    def _call_chunks(self, call: Call) -> Iterator[Piece]:
        index = next(n for n, candidate in enumerate(self._calls) if candidate is call)
        first = ChoiceDeltaToolCall(
            index=index,
            id=self._call_ids[index],
            type="function",
            function=ChoiceDeltaToolCallFunction(name=call.name, arguments=""),
        )
        yield self._chunk(ChoiceDelta(tool_calls=[first]))
        for text in call.chunks:
            next_delta = ChoiceDeltaToolCall(index=index, function=ChoiceDeltaToolCallFunction(arguments=text))
            yield self._chunk(ChoiceDelta(tool_calls=[next_delta]), "content", call.delay)

    def _closing(self, finish: Finish) -> Iterator[Piece]:
        yield self._chunk(ChoiceDelta(), "closing", finish=finish)
        if self._request.wants_usage:
            yield self._piece(self._shape([], self._usage()), "closing")
        yield DONE

    def _chunk(
        self, delta: ChoiceDelta, kind: Kind = "frame", delay: float = 0.0, finish: Finish | None = None
    ) -> Piece:
        choice = ChunkChoice(index=0, delta=delta, logprobs=None, finish_reason=finish)
        return self._piece(self._shape([choice], None), kind, delay)

    def _shape(self, choices: list[ChunkChoice], usage: CompletionUsage | None) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created,
            model=self._request.model,
            choices=choices,
            usage=usage,
        )

    def _piece(self, chunk: ChatCompletionChunk, kind: Kind, delay: float = 0.0) -> Piece:
        return Piece(b"data: %s\n\n" % encode(chunk), kind, delay)

    def _usage(self) -> CompletionUsage:
        input_tokens, output_tokens = self._answer.input_tokens, self._answer.output_tokens
        return CompletionUsage(
            prompt_tokens=input_tokens, completion_tokens=output_tokens, total_tokens=input_tokens + output_tokens
        )
