"""Ask a model again when its endpoint stumbles: time-outs, 429, 5xx, a stream that breaks.

The SDK retries a stream only before its first event; here the whole response is asked for again, and what was shown of
the broken one is taken back. No tool has acted by then: tools run after a response is complete.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import openai
from agents import TResponseInputItem
from agents.items import TResponseStreamEvent
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
)

from chat.assistant.wrapping import Ask, WrappedModel
from chat.exceptions import ModelFailed

logger = logging.getLogger(__name__)

BUDGET = 30.0  # seconds of trying again
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0

SENTENCES = {
    401: "The model's endpoint refused the key that is configured.",
    403: "The model's endpoint refused access.",
    404: "The model's endpoint does not know the model that is configured.",
    429: "The model's endpoint is busy at the moment.",
}
UNREACHABLE = "The model's endpoint cannot be reached at the moment."
BROKEN = "The model's answer broke off."
REFUSED = "The model's endpoint did not accept the request."


class Retrying(WrappedModel):
    """Asks again with growing pauses, for up to half a minute from the first failure.

    `on_restart` is told before each new try.
    """

    def __init__(self, inner: WrappedModel, on_restart: Callable[[], None]) -> None:
        super().__init__(inner)
        self._on_restart = on_restart

    async def watch(self, given: str | list[TResponseInputItem], ask: Ask) -> AsyncIterator[TResponseStreamEvent]:
        deadline = None
        pause = FIRST_PAUSE
        while True:
            try:
                async with aclosing(_complete(ask)) as events:
                    async for event in events:
                        yield event
                return
            except Exception as error:  # noqa: BLE001 - sorted here into those worth another try and the others
                failure = explain(error)
                deadline = deadline or time.monotonic() + BUDGET
                wait = max(random.uniform(pause / 2, pause), _retry_after(error))  # noqa: S311 - jitter
                if not failure.retryable or time.monotonic() + wait > deadline:
                    raise failure from error
                logger.info("The model is asked again in %.1f s: %s", wait, type(error).__name__)
                await asyncio.sleep(wait)
                pause = min(pause * 2, LONGEST_PAUSE)
                self._on_restart()


async def _complete(ask: Ask) -> AsyncGenerator[TResponseStreamEvent, None]:
    """Yield the events of a response that ends as it should; raise where it does not."""
    async for event in ask():
        if isinstance(event, ResponseFailedEvent | ResponseErrorEvent):
            raise BrokenStream
        yield event
        if isinstance(event, ResponseCompletedEvent | ResponseIncompleteEvent):
            return
    raise BrokenStream


class BrokenStream(Exception):
    """A stream ended without its response."""


def explain(error: Exception) -> ModelFailed:
    """Say what went wrong with a model, and whether it is worth another try."""
    if isinstance(error, ModelFailed):
        return error
    if isinstance(error, openai.RateLimitError):
        return ModelFailed(SENTENCES[429], retryable=error.code != "insufficient_quota")
    if isinstance(error, openai.APIStatusError):
        again = error.status_code >= 500 or error.status_code in (408, 409)
        return ModelFailed(SENTENCES.get(error.status_code, UNREACHABLE if again else REFUSED), retryable=again)
    if isinstance(error, openai.APIConnectionError):
        return ModelFailed(UNREACHABLE, retryable=True)
    if isinstance(error, BrokenStream | openai.APIError) or type(error).__module__.startswith("http"):
        return ModelFailed(BROKEN, retryable=True)
    return ModelFailed("The assistant could not finish this reply.", retryable=False)


def _retry_after(error: Exception) -> float:
    headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    try:
        return min(float(headers.get("retry-after", 0)), BUDGET)
    except ValueError:
        return 0.0
