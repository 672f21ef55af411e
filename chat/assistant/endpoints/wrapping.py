"""A model that wraps another model."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from agents import Model, ModelResponse, TResponseInputItem
from agents.items import TResponseStreamEvent

# Sends the request to the inner model and returns its events.
Ask = Callable[[], AsyncIterator[TResponseStreamEvent]]


@asynccontextmanager
async def closed_after(
    events: AsyncIterator[TResponseStreamEvent],
) -> AsyncIterator[AsyncIterator[TResponseStreamEvent]]:
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

    def stream_response(
        self, system_instructions: Any, input: str | list[TResponseInputItem], *args: Any, **kwargs: Any
    ) -> AsyncIterator[TResponseStreamEvent]:
        return self.watch(input, partial(self.inner.stream_response, system_instructions, input, *args, **kwargs))

    def watch(self, given: str | list[TResponseInputItem], ask: Ask) -> AsyncIterator[TResponseStreamEvent]:
        """Yield the events of one response; `ask` sends the request and may be called again."""
        return ask()
