"""The models: OpenAI's Responses API, any Chat Completions endpoint, or the offline model."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from agents import Model, ModelResponse, ModelSettings
from django.conf import settings

from chat.assistant.endpoints.adapting import AdaptingClient
from chat.assistant.endpoints.http_client import EndpointClient
from chat.assistant.endpoints.sdk_models import CompletionsModel, ResponsesModel
from chat.assistant.endpoints.wrapping import Events
from chat.assistant.model_config import ModelConfig, chosen, learned
from chat.assistant.offline.model import OfflineModel

OFFLINE = "offline"  # the recorded name of the offline model

# Returns the model of a name, or the default.
Choose = Callable[[str], Model]


@dataclass(frozen=True, slots=True)
class Alternative:
    """A model for turns: its recorded name, and the settings of every request."""

    name: str
    model: Model
    settings: ModelSettings


class WithFallback(Model):
    """A model and its fallbacks; used as a model itself, it is the first one."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = tuple(models)

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return await self.models[0].get_response(*args, **kwargs)

    def stream_response(self, *args: Any, **kwargs: Any) -> Events:
        return self.models[0].stream_response(*args, **kwargs)


class Models:
    """The configured models, each created at its first use."""

    def __init__(self) -> None:
        self._made: dict[str, Model] = {}
        self._clients: list[AdaptingClient] = []

    def choose(self, name: str) -> Model:
        """Return a model by name with its fallbacks; the default model if the name is unknown."""
        config = chosen(name)
        if config is None or not config.fallback:
            return self._model(config)
        return WithFallback([self._model(chosen(each)) for each in (config.name, *config.fallback)])

    async def close(self) -> None:
        """Close the connections."""
        while self._clients:
            await self._clients.pop().close()
        self._made.clear()

    def _model(self, config: ModelConfig | None) -> Model:
        if config is None:
            return self._made.setdefault("", OfflineModel())
        if config.name not in self._made:
            client = make_client(config)
            self._clients.append(client)
            self._made[config.name] = make_model(config, client)
        return self._made[config.name]


def make_client(config: ModelConfig) -> AdaptingClient:
    """Create the client of a configured model."""
    return AdaptingClient(
        config,
        # Self-hosted endpoints often need no key, but the client requires one.
        api_key=config.api_key or "none",
        base_url=config.base_url or None,
        http_client=EndpointClient(timeout=settings.AGENT_MODEL_TIMEOUT),
        timeout=settings.AGENT_MODEL_TIMEOUT,
        max_retries=0,  # chat.assistant.endpoints.retrying retries, also after a stream breaks
    )


def make_model(config: ModelConfig, client: AdaptingClient) -> ResponsesModel | CompletionsModel:
    """Create a configured model."""
    return CompletionsModel(config, client) if config.api == "chat_completions" else ResponsesModel(config, client)


def alternatives(model: Model) -> list[Alternative]:
    """Return a model and its fallbacks in order; those that are unavailable come last."""
    models = model.models if isinstance(model, WithFallback) else (model,)
    found = [Alternative(name_of(each), each, model_settings(each)) for each in models]
    return sorted(found, key=lambda each: learned(each.name).away_until > time.monotonic())


def primary(model: Model) -> Model:
    """Return the first alternative of a model."""
    return alternatives(model)[0].model


def name_of(model: Model) -> str:
    """Return the recorded name of a model."""
    if isinstance(model, OfflineModel):
        return OFFLINE
    return model.config.name if isinstance(model, ResponsesModel | CompletionsModel) else ""


def model_settings(model: Model) -> ModelSettings:
    """Return the settings of every request: the provider stores nothing, and usage is counted."""
    first = model.models[0] if isinstance(model, WithFallback) else model
    return _model_settings(first.config.api if isinstance(first, ResponsesModel | CompletionsModel) else "")


@cache
def _model_settings(api: str) -> ModelSettings:
    if not api:
        return ModelSettings()
    if api == "chat_completions":
        return ModelSettings(include_usage=True)
    # Reasoning that the provider does not store is sent back, encrypted, with the next request.
    return ModelSettings(store=False, response_include=["reasoning.encrypted_content"])
