"""Retry a request to a model after a transient failure: a time-out, 429, 5xx or a broken stream.

The SDK retries a stream only before its first event; here the whole response is requested again, and what was shown of
the broken one is taken back. No tool has acted by then: tools run after a response is complete.
"""

import asyncio
import logging
import random
import re
import time
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

import openai
from agents import Model
from agents.items import TResponseStreamEvent
from openai.types import responses

from chat.assistant.endpoints.failures import BrokenStream, explain, incomplete, incomplete_reason, retry_after
from chat.assistant.endpoints.wrapping import Ask, Events, Given, WrappedModel, closed_after
from chat.exceptions import ModelFailed
from chat.infra.tracing import error_type

logger = logging.getLogger(__name__)

RETRIES = 5
BUDGET = 30.0  # seconds from the first failure to the last retry
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
# Seconds without an event on a live connection: the client's own time-out resets with any byte.
LONGEST_SILENCE = 300.0
LONGEST_CLOSING = 1.0
# A word such as `rate_limit_exceeded`, a status, a UUID or an id such as `req_0a1b`; no key has one of these forms.
NAME = re.compile(
    r"[A-Za-z]+(_[A-Za-z]+){0,8}|[0-9]{1,4}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(req|chatcmpl)[_-]\w{1,64}", re.A
)
# Seconds for which buffered events are processed before other tasks run.
LONGEST_STEP = 0.005


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry that begins in some seconds; `attempt` counts from 1, `error` is the cause of a ModelFailed."""

    attempt: int
    of: int
    seconds: float
    error: str


class Retrying(WrappedModel):
    """Retries with growing pauses, up to five times and for up to half a minute from the first failure.

    `on_retry` is called before each pause, `on_restart` after it.
    """

    def __init__(
        self, inner: Model, on_restart: Callable[[], None], on_retry: Callable[[Retry], None] = lambda retry: None
    ) -> None:
        super().__init__(inner)
        self._on_restart = on_restart
        self._on_retry = on_retry

    async def watch(self, given: Given, ask: Ask) -> Events:
        deadline = None
        pause = FIRST_PAUSE
        attempt = 0
        while True:
            try:
                async with aclosing(_complete(ask)) as events:
                    async for event in events:
                        yield event
                return
            except Exception as error:  # noqa: BLE001 - sorted here into those worth another try and the others
                failure = explain(error)
                deadline = deadline or time.monotonic() + BUDGET
                wait = max(random.uniform(pause / 2, pause), retry_after(error))  # noqa: S311 - jitter
                attempt += 1
                failure.cause = str(getattr(error, "status_code", None) or error_type(error))
                if not failure.retryable or attempt > RETRIES or time.monotonic() + wait > deadline:
                    logger.warning("The model did not answer: %s", _described(error))
                    # Not `from error`: an endpoint's text may repeat the key, and would be logged.
                    raise failure from None
                logger.info("The model is asked again in %.1f s: %s", wait, _described(error))
            self._on_retry(Retry(attempt, RETRIES, wait, failure.cause))
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)
            self._on_restart()


async def _complete(ask: Ask) -> AsyncGenerator[TResponseStreamEvent, None]:
    """Yield the events of a complete response; raise if it is incomplete."""
    async with closed_after(ask()) as events:
        began = time.monotonic()
        while True:
            if time.monotonic() - began > LONGEST_STEP:
                await asyncio.sleep(0)
                began = time.monotonic()
            try:
                async with asyncio.timeout(LONGEST_SILENCE):
                    event = await anext(events)
            except StopAsyncIteration:
                raise BrokenStream from None
            if isinstance(event, responses.ResponseErrorEvent):
                raise BrokenStream(event.code)
            if isinstance(event, responses.ResponseFailedEvent):
                raise BrokenStream(event.response.error.code if event.response.error else None)
            if isinstance(event, responses.ResponseIncompleteEvent):
                raise incomplete(incomplete_reason(event.response))
            yield event
            if isinstance(event, responses.ResponseCompletedEvent):
                await _read_to_the_end(events)
                return


async def _read_to_the_end(events: Events) -> None:
    """Read the rest after a complete response, normally nothing: a connection with unread bytes is not reused."""
    with suppress(Exception):  # the response is complete, even if its connection breaks
        async with asyncio.timeout(LONGEST_CLOSING):
            async for _ in events:
                pass


def _described(error: Exception) -> str:
    """Describe an error for the log without its text, which may repeat the key or a message."""
    name = type(error).__name__
    if isinstance(error, openai.APIStatusError):
        return f"{name} {error.status_code}, code {_name(error.code)}, request {_name(error.request_id)}"
    if isinstance(error, openai.APIError | BrokenStream):
        return f"{name}, code {_name(error.code)}"
    if isinstance(error, ModelFailed):
        return f"{name}: {error.detail}"  # a sentence of ours
    return f"{name}\n{''.join(traceback.format_tb(error.__traceback__))}"


def _name(value: object) -> str:
    """Return a code or request id if it looks like one: an endpoint may send any text there."""
    return value if isinstance(value, str) and NAME.fullmatch(value) else "not shown" if value else "none"
