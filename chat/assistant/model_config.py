"""The models that are configured: where each is reached, and what it accepts."""

from dataclasses import dataclass, field
from functools import cache
from typing import Literal, cast

from django.conf import settings

Api = Literal["responses", "chat_completions"]
# Whether reasoning is sent back with later requests: as the endpoint turns out to need it, always, or never.
Reasoning = Literal["auto", "return", "omit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One model at one endpoint; `name` identifies it in settings, URLs, the database and the log."""

    name: str
    model: str
    base_url: str  # empty for OpenAI's own
    api_key: str = field(repr=False)
    api: Api
    context_tokens: int
    reasoning: Reasoning = "auto"
    omit: frozenset[str] = frozenset()  # parameters that are not sent


@dataclass(slots=True)
class Learned:
    """What the answers of a model's endpoint have shown since this process started."""

    omit: set[str] = field(default_factory=set)  # parameters that it refuses
    context_tokens: int | None = None  # a limit that it has reported, or that was found
    needs_reasoning: bool = False  # it refuses a request without the reasoning of earlier steps
    refuses_own_ids: bool = False  # it refuses ids of calls that it gave itself


@cache
def learned(name: str) -> Learned:
    """Return what is learned of a model, for reading and writing."""
    return Learned()


def default() -> ModelConfig:
    """Return the model that the environment names."""
    return ModelConfig(
        name=settings.AGENT_MODEL,
        model=settings.AGENT_MODEL,
        base_url=settings.OPENAI_BASE_URL,
        api_key=settings.OPENAI_API_KEY,
        api="chat_completions" if settings.AGENT_API == "chat_completions" else "responses",
        context_tokens=settings.AGENT_CONTEXT_TOKENS,
        reasoning=cast(Reasoning, settings.AGENT_REASONING),
    )
