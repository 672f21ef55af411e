"""The span of a request to a model, by OpenTelemetry's semantic conventions for GenAI 1.41.0.

What an endpoint chose itself is recorded only if it looks like the name of a model or an id.
"""

import re
import time
from types import TracebackType
from typing import Self

from agents import Model, ModelResponse
from agents.items import TResponseStreamEvent
from openai.types.responses import Response, ResponseCompletedEvent

from chat.assistant.endpoints.fallback import BEGINNINGS
from chat.assistant.endpoints.providers import OFFLINE
from chat.assistant.endpoints.retrying import Retry
from chat.assistant.endpoints.sdk_models import CompletionsModel, ResponsesModel
from chat.exceptions import ModelFailed
from chat.infra import tracing
from chat.infra.tracing import Attributes

MODEL_NAME = re.compile(r"[\w./:@+-]{1,128}", re.A)


class RequestSpan:
    """A request to a model with its retries and fallbacks; a context manager that ends the span."""

    def __init__(self, model: Model, *, purpose: str = "reply") -> None:
        name, attributes = _described(model)
        is_remote = isinstance(model, ResponsesModel | CompletionsModel)
        attributes = {**attributes, "threadkeeper.request.purpose": purpose}
        self._span = tracing.begin(name, attributes, is_request=is_remote)
        self._began = time.monotonic()
        self._has_come = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):  # otherwise the turn was stopped
            self._span.fail(error.cause if isinstance(error, ModelFailed) else tracing.error_type(error))
        self._span.end()

    def watch(self, event: TResponseStreamEvent) -> None:
        """Record what an event of the response shows."""
        if not self._has_come and event.type not in BEGINNINGS:
            self._has_come = True
            self._span.set({"gen_ai.response.time_to_first_chunk": round(time.monotonic() - self._began, 6)})
        if isinstance(event, ResponseCompletedEvent):
            self._span.set(_response(event.response))

    def answered(self, response: ModelResponse) -> None:
        """Record a response that did not come as a stream."""
        self._span.set(
            {
                "gen_ai.usage.input_tokens": response.usage.input_tokens,
                "gen_ai.usage.output_tokens": response.usage.output_tokens,
            }
        )

    def retrying(self, retry: Retry) -> None:
        """Record a retry that is about to begin."""
        self._span.event("retry", {"attempt": retry.attempt, "seconds": retry.seconds, "error.type": retry.error})

    def fallen_back(self, model: Model, failure: ModelFailed) -> None:
        """Record that another model is asked."""
        name, attributes = _described(model)
        self._span.event(
            "fallback", {"gen_ai.request.model": attributes["gen_ai.request.model"], "error.type": failure.cause}
        )
        self._span.rename(name)
        self._span.set(attributes)


def _described(model: Model) -> tuple[str, Attributes]:
    """Return the name and the first attributes of a request's span."""
    if not isinstance(model, ResponsesModel | CompletionsModel):
        names: Attributes = {"gen_ai.provider.name": "threadkeeper", "gen_ai.request.model": OFFLINE}
    else:
        names = {
            "gen_ai.provider.name": "openai",  # whose API it is
            "gen_ai.request.model": model.config.model,
            "server.address": model.config.host,
            "server.port": model.config.port,
            "threadkeeper.model": model.config.name,
        }
    return f"chat {names['gen_ai.request.model']}", {"gen_ai.operation.name": "chat", **names}


def _response(response: Response) -> Attributes:
    calls = any(item.type == "function_call" for item in response.output)
    usage = response.usage
    return {
        "gen_ai.response.model": _name(response.model),
        "gen_ai.response.finish_reasons": ["tool_call" if calls else "stop"],
        "gen_ai.usage.input_tokens": usage.input_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.output_tokens if usage else None,
        "gen_ai.usage.cache_read.input_tokens": usage.input_tokens_details.cached_tokens if usage else None,
        "gen_ai.usage.reasoning.output_tokens": usage.output_tokens_details.reasoning_tokens if usage else None,
    }


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and MODEL_NAME.fullmatch(value) else None
