"""The SDK's two models, where they take too much for granted about the endpoint."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, cast
from urllib.parse import urlsplit

from agents import ModelResponse, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, TResponseInputItem
from agents.items import TResponseStreamEvent
from agents.models.chatcmpl_converter import Converter
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai import APIStatusError, AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import ResponseCompletedEvent, ResponseOutputItemDoneEvent, ResponseTextDeltaEvent
from pydantic import ValidationError

from chat.assistant.endpoints.failures import BrokenStream, incomplete
from chat.assistant.endpoints.unstreamed import Decoder
from chat.assistant.endpoints.validation.chunks import ToolCallIndexes, repaired_chunk, repaired_completion, unmarked
from chat.assistant.endpoints.validation.history import is_of, prepared, with_reasoning, with_replies
from chat.assistant.endpoints.validation.items import sign
from chat.assistant.endpoints.validation.needs import Needs
from chat.assistant.endpoints.validation.usage import repaired_response
from chat.assistant.endpoints.wrapping import Events, Given
from chat.assistant.model_config import ModelConfig

# Seconds for what follows the end of an answer: its usage, and the end of the stream.
LONGEST_CLOSING = 2.0

# The types of items that have an equivalent in Chat Completions.
_CONVERTED = frozenset({"message", "function_call", "function_call_output"})


class Client(AsyncOpenAI):
    """The client, with a fast path for text deltas, which are most of a stream. Invalid chunks are repaired.

    An answer that is one JSON document is read as a stream of one event.
    """

    def _make_sse_decoder(self) -> Decoder:
        return Decoder(self.base_url)

    def _process_response_data(self, *, data: object, cast_to: Any, response: Any) -> Any:
        """Read one event; the client would try a piece of text with all the kinds of events that there are."""
        if cast_to is ChatCompletionChunk:
            return repaired_chunk(data)
        if cast_to is ChatCompletion:
            data = repaired_completion(data)
        elif isinstance(data, dict) and data.get("type") == "response.output_text.delta":
            try:
                return ResponseTextDeltaEvent.model_validate(data)
            except ValidationError:
                pass  # the client is more lenient
        elif isinstance(data, dict):
            data = repaired_response(data)
        return super()._process_response_data(data=data, cast_to=cast_to, response=response)


def _origin(config: ModelConfig, client: AsyncOpenAI) -> str:
    """Return the name by which items that come from an endpoint are known."""
    return f"{config.model} at {urlsplit(str(client.base_url)).hostname}"


async def _stream(ask: Callable[[], Events], needs: Needs, origin: str) -> Events:
    """Yield signed events; a request is repeated if its refusal shows what the endpoint needs."""
    while True:
        sent = needs.known
        stream: Any = ask()
        try:
            async with aclosing(stream) as events:
                async for event in events:
                    yield _signed(event, origin)
            return
        except APIStatusError as error:  # comes before the first event only
            needs.learn(error)
            if needs.known == sent:
                raise


def _signed(event: TResponseStreamEvent, origin: str) -> TResponseStreamEvent:
    if isinstance(event, ResponseOutputItemDoneEvent):
        sign([event.item], origin)
    elif isinstance(event, ResponseCompletedEvent):
        sign(getattr(event.response, "output", None), origin)
    return event


class ResponsesModel(OpenAIResponsesModel):
    """The Responses API, where only the model that thought can read what it thought.

    Reasoning is stored with the name of its model. Another one is sent the conversation without it, since the API
    refuses a request with reasoning that it cannot decrypt.
    """

    def __init__(self, config: ModelConfig, client: AsyncOpenAI) -> None:
        super().__init__(config.model, client)
        self.config = config
        self._origin = _origin(config, client)
        self._needs = Needs(config)

    async def get_response(self, system_instructions: Any, input: Given, *args: Any, **kwargs: Any) -> ModelResponse:
        response = await super().get_response(system_instructions, self._readable(input), *args, **kwargs)
        sign(response.output, self._origin)
        return response

    def stream_response(self, system_instructions: Any, input: Given, *args: Any, **kwargs: Any) -> Events:
        ask = super().stream_response
        return _stream(
            lambda: ask(system_instructions, self._readable(input), *args, **kwargs), self._needs, self._origin
        )

    def _build_response_create_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Hand the client the items and the tools as they are.

        It would check each field of each item for a conversion, and find none: with 200 items that takes 0.2 s,
        during which the event loop is blocked, and with our tools alone 2 ms.
        """
        built = super()._build_response_create_kwargs(*args, **kwargs)
        extra = built.get("extra_body")
        as_they_are = {name: built.pop(name) for name in ("input", "tools") if built.get(name)}
        built["extra_body"] = {**(extra if isinstance(extra, dict) else {}), **as_they_are}
        return built

    def _readable(self, given: Given) -> Given:
        """Return the input without what another model thought, and without our own signatures."""
        if isinstance(given, str):
            return given
        items = self._read(prepared(cast(Any, given), self._origin, own_ids=self._needs.own_ids))
        return cast(list[TResponseInputItem], list(items))

    def _read(self, items: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        dropped = False
        for item in items:
            kind = item.get("type")
            if kind == "reasoning":
                dropped = not self._is_readable(item)
                if not dropped:
                    yield _plain(item)
            elif kind == "function_call" and dropped:
                # By its id the API would miss the reasoning before it.
                yield {key: value for key, value in _plain(item).items() if key != "id"}
            else:
                dropped = dropped and kind == "function_call_output"
                yield _plain(item)

    def _is_readable(self, item: Mapping[str, Any]) -> bool:
        if self._needs.reasoning_omitted or not is_of(item, self._origin) or item.get("id") == FAKE_RESPONSES_ID:
            return False
        return bool(item.get("encrypted_content")) or self._needs.reasoning_returned


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as the Responses API's types want it: a reply without an id of the API's is text."""
    item.pop("provider_data", None)
    if item.get("type", "message") != "message" or str(item.get("id")).startswith("msg"):
        return item
    if item.get("role") != "assistant":
        return item
    content = item["content"]
    if isinstance(content, list):
        content = "".join(str(part.get("text") or part.get("refusal") or "") for part in content)
    return {"type": "message", "role": "assistant", "content": content}  # llama.cpp takes no reply without a type


class CompletionsModel(OpenAIChatCompletionsModel):
    """Chat Completions of any endpoint, where the end of a stream is not the end of an answer.

    The SDK asks for a reason to finish at OpenAI's own address only: elsewhere half a reply would be stored as a whole
    one, and the first of several calls would act.
    """

    def __init__(self, config: ModelConfig, client: AsyncOpenAI) -> None:
        super().__init__(config.model, client, should_replay_reasoning_content=lambda _: True)
        self.config = config
        self._origin = _origin(config, client)
        self._needs = Needs(config)

    async def get_response(self, system_instructions: Any, input: Given, *args: Any, **kwargs: Any) -> ModelResponse:
        response = await super().get_response(system_instructions, self._readable(input), *args, **kwargs)
        sign(response.output, self._origin)
        return response

    async def stream_response(self, system_instructions: Any, input: Given, *args: Any, **kwargs: Any) -> Events:
        ask = super().stream_response
        stream: Any = _stream(
            lambda: ask(system_instructions, self._readable(input), *args, **kwargs), self._needs, self._origin
        )
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, ResponseCompletedEvent):
                    unmarked(event.response.output)
                yield event

    async def _fetch_response(
        self, system_instructions: Any, input: Any, model_settings: ModelSettings, *args: Any, **kwargs: Any
    ) -> Any:
        if "gemini" not in self.model.lower() and any(map(_has_signature, input)):
            model_settings = _with_signatures(system_instructions, input, model_settings)
        fetched: Any = await super()._fetch_response(system_instructions, input, model_settings, *args, **kwargs)
        if not isinstance(fetched, tuple):
            return fetched
        response, stream = fetched
        return response, _Finished(stream)

    def _readable(self, given: Given) -> Given:
        """Return the input as the SDK converts it: with reasoning only for an endpoint that gets it back."""
        if isinstance(given, str):
            return given
        items = with_replies(self._read(prepared(cast(Any, given), self._origin, own_ids=self._needs.own_ids)))
        return cast(list[TResponseInputItem], [*(with_reasoning(items) if self._needs.reasoning_returned else items)])

    def _read(self, items: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for item in items:
            ours = is_of(item, self._origin)
            if ours:
                item["provider_data"] = {**item["provider_data"], "model": self.model}  # as the SDK notes it
            kind = item.get("type", "message")
            if kind == "reasoning" and self._needs.reasoning_returned and ours:
                yield _summarized(item)
            elif kind in _CONVERTED:
                yield item


def _has_signature(item: object) -> bool:
    return isinstance(item, Mapping) and bool((item.get("provider_data") or {}).get("thought_signature"))


def _with_signatures(instructions: str | None, given: Any, model_settings: ModelSettings) -> ModelSettings:
    """Return settings that send Gemini's signatures, as the SDK does for models with that name only."""
    messages: list[Any] = Converter.items_to_messages(
        given, model="gemini", should_replay_reasoning_content=lambda _: True
    )
    if instructions:
        messages.insert(0, {"role": "system", "content": instructions})
    return model_settings.resolve(ModelSettings(extra_body={"messages": messages}))


def _summarized(item: dict[str, Any]) -> dict[str, Any]:
    """Return reasoning where the SDK looks for the `reasoning_content` of a message: in the summary."""
    if item.get("summary") or "_chat_completions_reasoning_field" in item["provider_data"]:
        return item
    summary = [{"type": "summary_text", "text": part.get("text")} for part in item.get("content") or ()]
    return {**item, "summary": summary}


class _Finished:
    """The chunks of a stream; raises BrokenStream where they end without a reason to finish.

    Calls before a cut are not run: what the model would have gone on with is not known. Raise ModelFailed there.
    """

    def __init__(self, stream: AsyncStream[ChatCompletionChunk]) -> None:
        self.response = stream.response  # where the SDK looks for the request's id
        self._stream = stream
        self._is_complete = False

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        indexes = ToolCallIndexes()
        has_calls, cut_off = False, ""
        async for chunk in self._chunks():
            for choice in chunk.choices:
                self._is_complete = self._is_complete or bool(choice.finish_reason)
                if choice.finish_reason in ("content_filter", "length"):
                    cut_off = choice.finish_reason
                if choice.delta.tool_calls:
                    has_calls = True
                    indexes.repair(choice.delta.tool_calls)
            yield chunk
        if not self._is_complete:
            raise BrokenStream
        if has_calls and cut_off:
            raise incomplete(cut_off)

    async def _chunks(self) -> AsyncIterator[ChatCompletionChunk]:
        """Yield the chunks. Once the answer is complete, wait for the rest, the usage, for a few seconds only."""
        chunks = aiter(self._stream)
        rest = 0.0  # until when there may be more
        while True:
            if self._is_complete:
                rest = rest or time.monotonic() + LONGEST_CLOSING
            try:
                async with asyncio.timeout(rest - time.monotonic() if rest else None):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except Exception:
                if rest:  # the answer is complete, whatever becomes of its connection
                    return
                raise
            yield chunk

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.close()
