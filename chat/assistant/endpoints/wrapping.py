"""A model that wraps another model."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from agents import Model, ModelResponse, TResponseInputItem
from agents.items import TResponseStreamEvent

Given = str | list[TResponseInputItem]
Events = AsyncIterator[TResponseStreamEvent]
# Sends the request to the inner model and returns its events.
Ask = Callable[[], Events]


@asynccontextmanager
async def closed_after(events: Events) -> AsyncIterator[Events]:
    """Close a stream on exit, so that its connection does not wait for the garbage collector."""
    try:
        yield events
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


class WrappedModel(Model):
    """Forwards every request; subclasses watch the stream."""

    def __init__(self, inner: Model) -> None:
        self.inner = inner

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        return await self.inner.get_response(system_instructions, input, *args, **kwargs)

    def stream_response(self, system_instructions: Any, input: Given, *args: Any, **kwargs: Any) -> Events:
        return self.watch(input, partial(self.inner.stream_response, system_instructions, input, *args, **kwargs))

    def watch(self, given: Given, ask: Ask) -> Events:
        """Yield the events of one response; `ask` sends the request and may be called again."""
        return ask()
