"""Which model is configured, told without loading what talks to it."""

from django.conf import settings


def is_offline() -> bool:
    """Tell whether no model endpoint is configured."""
    return not (settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL)


def describe() -> str:
    """Say which model answers, for people."""
    return "Built-in offline model" if is_offline() else str(settings.AGENT_MODEL)
