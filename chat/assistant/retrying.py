"""Ask a model again when its endpoint stumbles: time-outs, 429, 5xx, a stream that breaks.

The SDK retries a stream only before its first event; here the whole response is asked for again, and what was shown of
the broken one is taken back. No tool has acted by then: tools run after a response is complete.
"""

import asyncio
import json
import logging
import math
import random
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from email.utils import parsedate_to_datetime

import openai
from agents import TResponseInputItem
from agents.items import TResponseStreamEvent
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
)

from chat.assistant.wrapping import Ask, WrappedModel, closed_after
from chat.exceptions import ModelFailed

logger = logging.getLogger(__name__)

BUDGET = 30.0  # seconds of trying again
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
# Seconds without an event while the connection is kept alive: the client's own time-out sees only that bytes come.
LONGEST_SILENCE = 300.0
LONGEST_CLOSING = 1.0

SENTENCES = {
    401: "The model's endpoint refused the key that is configured.",
    403: "The model's endpoint refused access.",
    404: "The model's endpoint does not know the model that is configured.",
    429: "The model's endpoint is busy at the moment.",
}
UNREACHABLE = "The model's endpoint cannot be reached at the moment."
BROKEN = "The model's answer broke off."
REFUSED = "The model's endpoint did not accept the request."
SPENT = "What may be spent at the model's endpoint is spent."
TOO_LONG = "The model's answer grew too long and was broken off; please ask for less at once."
UNKNOWN = "The assistant could not finish this reply."

# What providers call a failure that another try will not mend.
FINAL_CODES = frozenset(
    {
        "bio_policy",
        "content_filter",
        "context_length_exceeded",
        "invalid_prompt",
        "invalid_request_error",
        "misalignment_policy_violation",
    }
)
OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


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
                    logger.warning("The model did not answer: %s", _told(error))
                    # Not `from error`: what an endpoint writes may repeat the key, and ends in somebody's log.
                    raise failure from None
                logger.info("The model is asked again in %.1f s: %s", wait, _told(error))
                await asyncio.sleep(wait)
                pause = min(pause * 2, LONGEST_PAUSE)
                self._on_restart()


async def _complete(ask: Ask) -> AsyncGenerator[TResponseStreamEvent, None]:
    """Yield the events of a response that ends as it should; raise where it does not."""
    async with closed_after(ask()) as events:
        while True:
            try:
                async with asyncio.timeout(LONGEST_SILENCE):
                    event = await anext(events)
            except StopAsyncIteration:
                raise BrokenStream from None
            if isinstance(event, ResponseErrorEvent):
                raise BrokenStream(event.code)
            if isinstance(event, ResponseFailedEvent):
                raise BrokenStream(event.response.error.code if event.response.error else None)
            if isinstance(event, ResponseIncompleteEvent):
                raise ModelFailed(TOO_LONG, retryable=False)
            yield event
            if isinstance(event, ResponseCompletedEvent):
                await _read_to_the_end(events)
                return


async def _read_to_the_end(events: AsyncIterator[TResponseStreamEvent]) -> None:
    """Read what follows a complete response, normally nothing: a connection that is left earlier is not used again."""
    with suppress(Exception):  # the response is complete, whatever becomes of its connection
        async with asyncio.timeout(LONGEST_CLOSING):
            async for _ in events:
                pass


class BrokenStream(Exception):
    """A stream ended without its response; `code` is what the provider calls the reason, if it gave one."""

    def __init__(self, code: str | None = None) -> None:
        super().__init__(code or "no reason given")
        self.code = code


def explain(error: Exception) -> ModelFailed:
    """Say what went wrong with a model, and whether it is worth another try."""
    if isinstance(error, ModelFailed):
        return error
    if isinstance(error, BrokenStream | openai.APIError) and error.code in OUT_OF_MONEY:
        return ModelFailed(SPENT, retryable=False)
    if isinstance(error, openai.APIStatusError):
        again = error.status_code >= 500 or error.status_code in (408, 409, 429)
        return ModelFailed(SENTENCES.get(error.status_code, UNREACHABLE if again else REFUSED), retryable=again)
    if isinstance(error, openai.APIConnectionError | TimeoutError):
        return ModelFailed(UNREACHABLE, retryable=True)
    if isinstance(error, BrokenStream | openai.APIError):
        final = bool({error.code, getattr(error, "type", None)} & FINAL_CODES)
        return ModelFailed(REFUSED if final else BROKEN, retryable=not final)
    # An event that is no JSON, or no text, is as broken as one that never came.
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) or type(error).__module__.startswith("http"):
        return ModelFailed(BROKEN, retryable=True)
    return ModelFailed(UNKNOWN, retryable=False)


def _told(error: Exception) -> str:
    """Describe an error for the log without its text, which may repeat the key or what somebody said."""
    name = type(error).__name__
    if isinstance(error, openai.APIStatusError):
        return f"{name} {error.status_code}, code {error.code}, request {error.request_id}"
    if isinstance(error, openai.APIError | BrokenStream):
        return f"{name}, code {error.code}"
    return f"{name}\n{''.join(traceback.format_tb(error.__traceback__))}"


def _retry_after(error: Exception) -> float:
    """Return how many seconds an endpoint asks to be left alone; 0 where it does not say, or nothing sensible."""
    headers: Mapping[str, str] = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        return max(wait, 0.0) if math.isfinite(wait) else 0.0
    try:
        return max(parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return 0.0
