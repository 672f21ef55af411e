"""A turn as a stream of events (text/event-stream): one more follower of its log.

A disconnect stops no turn. A stream ends with its turn, when that waits for a decision, with the login or token
of its request, and with the server; it may break at any other moment, and is resumed by its last id.
"""

import asyncio
import logging
import uuid
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from contextvars import Context
from typing import Any, TypeVar

from django.http import StreamingHttpResponse
from django.urls import reverse

from chat.api.sse import EventPosition, EventStream
from chat.exceptions import NotFound, ServerStopping
from chat.realtime.connections import Connections, Slot
from chat.turns import process
from chat.turns.follow import follow

logger = logging.getLogger(__name__)

HEARTBEAT_EVERY = 15.0  # seconds without anything else
EVENTS = "text/event-stream"
COMMENT = b":\n\n"
T = TypeVar("T")


class OpenStream(StreamingHttpResponse):
    """A stream that can be ended."""

    def __init__(self, slot: "Slot[OpenStream]", parts: AsyncGenerator[bytes, None]) -> None:
        self.slot = slot
        # Nothing closes a response that a cancelled request drops.
        weakref.finalize(self, slot.release).atexit = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parts = parts
        super().__init__(parts, content_type=EVENTS)
        self["X-Accel-Buffering"] = "no"

    def __aiter__(self) -> AsyncIterator[bytes]:
        # The generator itself, which Django closes at once when the client has gone; its own wrapper is left to chance.
        return self._parts

    def close(self) -> None:
        """Close it, as Django does even if nothing of it was sent."""
        self.slot.release()
        super().close()

    def end(self) -> None:
        """Let the stream end at the next opportunity."""
        if not self.ended.done():
            self.ended.set_result(None)

    async def login_ended(self) -> None:
        """End it: its login or token has ended."""
        self.end()

    async def with_heartbeats(
        self, source: AsyncIterator[T], context: Context | None = None
    ) -> AsyncGenerator[T | None, None]:
        """Yield the items of a source, and None after a pause, until there are no more or the stream is to end."""
        step: asyncio.Task[T | None] | None = None
        try:
            while not self.ended.done():
                step = step or asyncio.create_task(_next(source), context=context)
                awaited: set[asyncio.Future[Any]] = {step, self.ended}
                await asyncio.wait(awaited, timeout=HEARTBEAT_EVERY, return_when=asyncio.FIRST_COMPLETED)
                if not step.done():
                    yield None
                    continue
                done, step = step, None
                if (what := done.result()) is None:
                    return
                yield what
        finally:
            if step is not None:
                step.cancel()
                await asyncio.wait({step})


class TurnStream(OpenStream):
    """The events of one turn, for one caller."""

    def __init__(self, slot: Slot[OpenStream], thread_id: uuid.UUID, turn_id: uuid.UUID, place: EventPosition) -> None:
        self.turn_id = turn_id
        self._events = EventStream(thread_id, turn_id, place)
        self._place = place
        super().__init__(slot, self._body())
        self["Content-Location"] = reverse("api:follow_turn", args=[thread_id, turn_id])

    async def _body(self) -> AsyncGenerator[bytes, None]:
        self.slot.open(self)
        place = self._place
        try:
            yield COMMENT  # the headers go out with it
            logs = process.current().logs
            async with (
                aclosing(follow(logs, self.turn_id, attempt=place.attempt, after=place.n)) as following,
                aclosing(self.with_heartbeats(following)) as batches,
            ):
                async for batch in batches:
                    if batch is None:
                        yield COMMENT
                        continue
                    for event in self._events.events(batch):
                        yield event.encoded()
                        if self.ended.done():
                            return
                    if self._events.is_done:
                        return
        except (NotFound, ServerStopping):
            return  # the turn was deleted, or the client has to request the stream again
        except Exception:
            # Any error ends the stream: the client reconnects, and gets the error then.
            logger.exception("A stream cannot be kept up to date.")
        finally:
            self.slot.release()


async def _next(source: AsyncIterator[T]) -> T | None:
    return await anext(source, None)


open_streams: Connections[OpenStream] = Connections("streams")


def end_all() -> None:
    """Let all streams end: the server does."""
    for stream in open_streams:
        stream.end()
