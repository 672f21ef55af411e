"""Which model answers: OpenAI's Responses API, any Chat Completions endpoint, or the built-in one."""

from collections.abc import AsyncIterator
from typing import Any

from agents import Model, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel
from django.conf import settings
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from chat.assistant.offline.model import OfflineModel
from chat.assistant.retrying import BrokenStream


def is_offline() -> bool:
    """Tell whether no model endpoint is configured."""
    return not (settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL)


def describe() -> str:
    """Say which model answers, for people."""
    return "Built-in offline model" if is_offline() else str(settings.AGENT_MODEL)


def build_model() -> Model:
    """Make the model that the settings name."""
    if is_offline():
        return OfflineModel()
    client = AsyncOpenAI(
        # Endpoints of one's own often want no key, the client always does.
        api_key=settings.OPENAI_API_KEY or "none",
        base_url=settings.OPENAI_BASE_URL or None,
        timeout=settings.AGENT_MODEL_TIMEOUT,
        max_retries=0,  # retried by chat.assistant.retrying, which also sees a stream that breaks
    )
    if settings.AGENT_API == "chat_completions":
        return CompletionsModel(model=settings.AGENT_MODEL, openai_client=client)
    return OpenAIResponsesModel(model=settings.AGENT_MODEL, openai_client=client)


def model_settings() -> ModelSettings:
    """Return what every request asks for: nothing is stored at the provider, usage is counted."""
    if is_offline():
        return ModelSettings()
    if settings.AGENT_API == "chat_completions":
        return ModelSettings(include_usage=True)
    # Reasoning that is not stored there must be sent back with the next request, encrypted.
    return ModelSettings(store=False, response_include=["reasoning.encrypted_content"])


class CompletionsModel(OpenAIChatCompletionsModel):
    """Chat Completions of any endpoint, where the end of a stream is not the end of an answer.

    The SDK asks for a reason to finish at OpenAI's own address only: elsewhere half a reply would be stored as a whole
    one, and the first of several calls would act.
    """

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
