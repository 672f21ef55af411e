"""The configured models: their endpoints, and what they accept."""

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from django.conf import settings

from chat.assistant.configured import is_offline
from chat.exceptions import BadInput
from config.models_file import ModelEntry

Api = Literal["responses", "chat_completions"]
# Whether reasoning is sent back with later requests: as the endpoint turns out to need it, always, or never.
Reasoning = Literal["auto", "return", "omit"]

NAME_LENGTH = 255
MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One model at one endpoint; `name` identifies it in settings, URLs, the database and the log.

    Prices are per million tokens, in the currency of AGENT_CURRENCY.
    """

    name: str
    label: str = ""
    model: str
    base_url: str  # empty for OpenAI's own
    api_key: str = field(repr=False)
    api: Api
    context_tokens: int
    reasoning: Reasoning = "auto"
    omit: frozenset[str] = frozenset()  # parameters that are not sent
    input_price: Decimal | None = None
    output_price: Decimal | None = None
    fallback: tuple[str, ...] = ()  # the names of its fallbacks

    @property
    def host(self) -> str:
        """The host of the endpoint, the only part of its URL that may be shown."""
        return urlsplit(self.base_url).hostname or "api.openai.com"

    @property
    def port(self) -> int:
        """The port of the endpoint."""
        url = urlsplit(self.base_url)
        return url.port or (80 if url.scheme == "http" else 443)

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal | None:
        """Return the cost of tokens at the current prices, or None without prices."""
        if self.input_price is None or self.output_price is None:
            return None
        return (input_tokens * self.input_price + output_tokens * self.output_price) / MILLION


@dataclass(slots=True)
class Learned:
    """What this process has learned from the answers of a model's endpoint."""

    omit: set[str] = field(default_factory=set)  # parameters that it refuses
    context_tokens: int | None = None  # a limit that it reported, or that was found
    needs_reasoning: bool = False  # it refuses a request without the reasoning of earlier steps
    away_until: float = 0.0  # on the monotonic clock: until then its fallbacks come first
    refuses_own_ids: bool = False  # it refuses its own call ids


@cache
def learned(name: str) -> Learned:
    """Return the learned facts of a model, to read and to change."""
    return Learned()


def configured() -> tuple[ModelConfig, ...]:
    """Return the configured models, the default first; none with the offline model."""
    if settings.AGENT_MODELS:
        return tuple(_of_entry(entry) for entry in settings.AGENT_MODELS)
    return () if is_offline() else (_of_environment(),)


def default() -> ModelConfig:
    """Return the default model."""
    return (configured() or (_of_environment(),))[0]


def chosen(name: str) -> ModelConfig | None:
    """Return a model by name, the default if the name is unknown, or None with the offline model."""
    models = configured()
    return next((model for model in models if model.name == name), models[0] if models else None)


def name_in_use(name: str) -> str:
    """Return the name of the model that answers for a chosen name; empty for the offline model."""
    names = _names()
    return name if name in names else names[0] if names else ""


def check_name(name: str) -> str:
    """Return the name of a configured model. Raise BadInput."""
    names = _names()
    if name not in names:
        there = f"There are: {', '.join(names)}." if names else "The built-in model is the only one."
        raise BadInput(f"There is no model of this name. {there}")
    return name


def _names() -> list[str]:
    if settings.AGENT_MODELS:
        return [entry["name"] for entry in settings.AGENT_MODELS]
    return [] if is_offline() else [settings.AGENT_MODEL[:NAME_LENGTH]]


def _of_entry(entry: ModelEntry) -> ModelConfig:
    values: dict[str, Any] = {**entry, "omit": frozenset(entry["omit"]), "fallback": tuple(entry["fallback"])}
    return ModelConfig(**values)


def _of_environment() -> ModelConfig:
    return ModelConfig(
        name=settings.AGENT_MODEL[:NAME_LENGTH],
        label=settings.AGENT_MODEL,
        model=settings.AGENT_MODEL,
        base_url=settings.OPENAI_BASE_URL,
        api_key=settings.OPENAI_API_KEY,
        api="chat_completions" if settings.AGENT_API == "chat_completions" else "responses",
        context_tokens=settings.AGENT_CONTEXT_TOKENS,
        reasoning=cast(Reasoning, settings.AGENT_REASONING),
        omit=frozenset(settings.AGENT_OMIT),
    )
