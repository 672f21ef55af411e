"""The models that are configured: where each is reached, and what it accepts."""

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
    fallback: tuple[str, ...] = ()  # the names of the models that answer where this one is unavailable

    @property
    def host(self) -> str:
        """The host of the endpoint, which is all of its URL that may be shown."""
        return urlsplit(self.base_url).hostname or "api.openai.com"

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal | None:
        """Return what tokens cost at the present prices, or None where there are none."""
        if self.input_price is None or self.output_price is None:
            return None
        return (input_tokens * self.input_price + output_tokens * self.output_price) / MILLION


@dataclass(slots=True)
class Learned:
    """What the answers of a model's endpoint have shown since this process started."""

    omit: set[str] = field(default_factory=set)  # parameters that it refuses
    context_tokens: int | None = None  # a limit that it has reported, or that was found
    needs_reasoning: bool = False  # it refuses a request without the reasoning of earlier steps
    away_until: float = 0.0  # on the monotonic clock: until then its fallbacks are asked first
    refuses_own_ids: bool = False  # it refuses ids of calls that it gave itself


@cache
def learned(name: str) -> Learned:
    """Return what is learned of a model, for reading and writing."""
    return Learned()


def configured() -> tuple[ModelConfig, ...]:
    """Return the configured models, the default first; none where the offline model answers."""
    if settings.AGENT_MODELS:
        return tuple(_of_entry(entry) for entry in settings.AGENT_MODELS)
    return () if is_offline() else (_of_environment(),)


def default() -> ModelConfig:
    """Return the model that answers unless another is chosen."""
    return (configured() or (_of_environment(),))[0]


def chosen(name: str) -> ModelConfig | None:
    """Return the model of a name, the default where there is none of it any more, None where all is offline."""
    models = configured()
    return next((model for model in models if model.name == name), models[0] if models else None)


def name_in_use(name: str) -> str:
    """Return the name of the model that answers where one of this name was chosen; empty for the offline model."""
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
