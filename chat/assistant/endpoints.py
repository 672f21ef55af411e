"""The SDK's two models, where they take too much for granted about the endpoint."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, cast
from urllib.parse import urlsplit

from agents import ModelResponse, OpenAIChatCompletionsModel, OpenAIResponsesModel, TResponseInputItem
from agents.items import TResponseStreamEvent
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseOutputItemDoneEvent,
    ResponseReasoningItem,
    ResponseTextDeltaEvent,
)
from pydantic import BaseModel, ValidationError

from chat.assistant.model_config import ModelConfig
from chat.assistant.retrying import BrokenStream

Input = str | list[TResponseInputItem]


class Client(AsyncOpenAI):
    """The client, but quick to read what there is most of: pieces of text."""

    def _process_response_data(self, *, data: object, cast_to: Any, response: Any) -> Any:
        """Read one event; the client would try a piece of text with all the kinds of events that there are."""
        quick = _kind_of(data)
        if quick is not None:
            try:
                return quick.model_validate(data)
            except ValidationError:
                pass  # the client is more lenient
        return super()._process_response_data(data=data, cast_to=cast_to, response=response)


def _kind_of(data: object) -> type[BaseModel] | None:
    if not isinstance(data, dict):
        return None
    if data.get("type") == "response.output_text.delta":
        return ResponseTextDeltaEvent
    return ChatCompletionChunk if data.get("object") == "chat.completion.chunk" else None


class ResponsesModel(OpenAIResponsesModel):
    """The Responses API, where only the model that thought can read what it thought.

    Reasoning is stored with the name of its model. Another one is sent the conversation without it, since the API
    refuses a request with reasoning that it cannot decrypt.
    """

    def __init__(self, config: ModelConfig, client: AsyncOpenAI) -> None:
        super().__init__(config.model, client)
        self.config = config

    async def get_response(self, system_instructions: Any, input: Input, *args: Any, **kwargs: Any) -> ModelResponse:
        response = await super().get_response(system_instructions, self._readable(input), *args, **kwargs)
        self._sign(response.output)
        return response

    async def stream_response(
        self, system_instructions: Any, input: Input, *args: Any, **kwargs: Any
    ) -> AsyncIterator[TResponseStreamEvent]:
        stream: Any = super().stream_response(system_instructions, self._readable(input), *args, **kwargs)
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, ResponseOutputItemDoneEvent):
                    self._sign([event.item])
                elif isinstance(event, ResponseCompletedEvent):
                    self._sign(event.response.output)
                yield event

    def _build_response_create_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Hand the client the items and the tools as they are.

        It would look at each field of each for something to convert, and find nothing: with 200 items that takes 0.2 s,
        in which the event loop serves nobody, and with our tools alone 2 ms.
        """
        built = super()._build_response_create_kwargs(*args, **kwargs)
        extra = built.get("extra_body")
        as_they_are = {name: built.pop(name) for name in ("input", "tools") if built.get(name)}
        built["extra_body"] = {**(extra if isinstance(extra, dict) else {}), **as_they_are}
        return built

    @property
    def _name(self) -> str:
        return f"{self.model} at {urlsplit(str(self._client.base_url)).hostname}"

    def _sign(self, output: Iterable[object]) -> None:
        for item in output:
            if isinstance(item, ResponseReasoningItem):
                item.provider_data = {"model": self._name}  # type: ignore[attr-defined]  # where the SDK keeps such things

    def _readable(self, given: Input) -> Input:
        """Return the input without what another model thought, and without our own signatures."""
        if isinstance(given, str):
            return given
        return cast(list[TResponseInputItem], list(self._read(cast(Sequence[dict[str, Any]], given))))

    def _read(self, items: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        dropped = False
        for item in items:
            if item.get("type") == "reasoning":
                dropped = (item.get("provider_data") or {}).get("model") != self._name
                if not dropped:
                    yield {key: value for key, value in item.items() if key != "provider_data"}
            elif item.get("type") == "function_call" and dropped:
                # By its id the API would miss the reasoning before it.
                yield {key: value for key, value in item.items() if key != "id"}
            else:
                dropped = dropped and item.get("type") == "function_call_output"
                yield _plain(item) if item.get("id") == FAKE_RESPONSES_ID else item


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item that Chat Completions left as the Responses API's types want it: a reply without an id is text."""
    if item.get("type") != "message":
        return item
    said = "".join(str(part.get("text") or part.get("refusal") or "") for part in item["content"])
    return {"role": item["role"], "content": said}


class CompletionsModel(OpenAIChatCompletionsModel):
    """Chat Completions of any endpoint, where the end of a stream is not the end of an answer.

    The SDK asks for a reason to finish at OpenAI's own address only: elsewhere half a reply would be stored as a whole
    one, and the first of several calls would act.
    """

    def __init__(self, config: ModelConfig, client: AsyncOpenAI) -> None:
        super().__init__(config.model, client)
        self.config = config

    async def _fetch_response(self, *args: Any, **kwargs: Any) -> Any:
        fetched: Any = await super()._fetch_response(*args, **kwargs)
        if not isinstance(fetched, tuple):
            return fetched
        response, stream = fetched
        return response, _Finished(stream)


class _Finished:
    """The chunks of a stream; raises BrokenStream where they end without a reason to finish."""

    def __init__(self, stream: AsyncStream[ChatCompletionChunk]) -> None:
        self.response = stream.response  # where the SDK looks for the request's id
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        finished = False
        async for chunk in self._stream:
            finished = finished or any(choice.finish_reason for choice in chunk.choices or ())
            yield chunk
        if not finished:
            raise BrokenStream

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.close()
