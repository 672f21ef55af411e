"""The configured models, without importing their clients."""

from django.conf import settings


def is_offline() -> bool:
    """Return whether no model endpoint is configured."""
    return not (settings.AGENT_MODELS or settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL)


def describe() -> str:
    """Return the display name of the default model."""
    if is_offline():
        return "Built-in offline model"
    return str(settings.AGENT_MODELS[0]["label"] if settings.AGENT_MODELS else settings.AGENT_MODEL)
