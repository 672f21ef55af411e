"""Which model answers: OpenAI's Responses API, any Chat Completions endpoint, or the built-in one."""

from functools import cache

from agents import Model, ModelSettings
from django.conf import settings

from chat.assistant.adapting import AdaptingClient
from chat.assistant.configured import is_offline
from chat.assistant.endpoints import CompletionsModel, ResponsesModel
from chat.assistant.model_config import default
from chat.assistant.offline.model import OfflineModel


def build_model() -> Model:
    """Make the model that the settings name."""
    if is_offline():
        return OfflineModel()
    config = default()
    client = AdaptingClient(
        config,
        # Endpoints of one's own often want no key, the client always does.
        api_key=config.api_key or "none",
        base_url=config.base_url or None,
        timeout=settings.AGENT_MODEL_TIMEOUT,
        max_retries=0,  # retried by chat.assistant.retrying, which also sees a stream that breaks
    )
    if config.api == "chat_completions":
        return CompletionsModel(config, client)
    return ResponsesModel(config, client)


def model_settings() -> ModelSettings:
    """Return what every request asks for: nothing is stored at the provider, usage is counted."""
    return _model_settings("" if is_offline() else settings.AGENT_API)


@cache
def _model_settings(api: str) -> ModelSettings:
    if not api:
        return ModelSettings()
    if api == "chat_completions":
        return ModelSettings(include_usage=True)
    # Reasoning that is not stored there must be sent back with the next request, encrypted.
    return ModelSettings(store=False, response_include=["reasoning.encrypted_content"])
