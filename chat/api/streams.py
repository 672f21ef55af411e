"""A turn as a stream of events (text/event-stream): one more follower of its log.

Whoever goes away stops nothing. A stream ends with its turn, where that waits for a decision, with the login or token
by which it was asked for, and with the server; it may end at any other moment too, and is gone on with by its last id.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Protocol

from django.conf import settings
from django.db import DatabaseError
from django.http import StreamingHttpResponse

from chat import logins, tokens
from chat.api.caller import Caller
from chat.api.telling import Place, Teller
from chat.bridge import in_database
from chat.exceptions import NotFound, RateLimited
from chat.turns import process
from chat.turns.follow import Seen, follow

logger = logging.getLogger(__name__)

HEARTBEAT_EVERY = 15.0  # seconds without anything else
LOOK_AT_CALLERS_EVERY = 5.0  # seconds
COMMENT = b":\n\n"


class OpenStream(Protocol):
    """A stream for somebody, which can be told to end; the cookie is of their login, where they show no token."""

    caller: Caller
    cookie: str

    def end(self) -> None: ...


class TurnStream(StreamingHttpResponse):
    """The events of one turn, for one caller."""

    def __init__(self, caller: Caller, cookie: str, thread_id: uuid.UUID, turn_id: uuid.UUID, place: Place) -> None:
        self.caller = caller
        self.cookie = cookie  # of the login; a token needs none
        self.turn_id = turn_id
        self._teller = Teller(thread_id, turn_id, place)
        self._place = place
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parts = self._told()
        super().__init__(
            self._parts,
            content_type="text/event-stream",
            headers={
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
                "Content-Location": f"/api/chatkit/threads/{thread_id}/turns/{turn_id}/events",
            },
        )

    def __aiter__(self) -> AsyncIterator[bytes]:
        # The generator itself, which Django closes at once when the client has gone; its own wrapper is left to chance.
        return self._parts

    def end(self) -> None:
        """Let the stream end at the next opportunity."""
        if not self._over.done():
            self._over.set_result(None)

    async def _told(self) -> AsyncGenerator[bytes, None]:
        open_streams.add(self)
        try:
            yield COMMENT  # the headers go out with it
            async with aclosing(self._news()) as news:
                async for seen in news:
                    if seen is None:
                        yield COMMENT
                        continue
                    for event in self._teller.tell(seen):
                        yield event.encoded()
                        if self._over.done():
                            return
                    if self._teller.is_done:
                        return
        except NotFound:
            return  # deleted meanwhile
        except Exception:
            # Whatever it is: the program comes back, and is told then.
            logger.exception("A stream cannot be kept up to date.")
        finally:
            open_streams.discard(self)

    async def _news(self) -> AsyncGenerator[Seen | None, None]:
        """Yield what is new, and None where nothing was for a while."""
        logs = process.current().logs
        async with aclosing(follow(logs, self.turn_id, attempt=self._place.attempt, after=self._place.n)) as following:
            coming: asyncio.Task[Seen | None] | None = None
            try:
                while not self._over.done():
                    if coming is None:
                        coming = asyncio.create_task(_next(following))
                    awaited: set[asyncio.Future[Any]] = {coming, self._over}
                    await asyncio.wait(awaited, timeout=HEARTBEAT_EVERY, return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        yield None
                        continue
                    done, coming = coming, None
                    seen = done.result()
                    if seen is None:
                        return
                    yield seen
            finally:
                if coming is not None:
                    coming.cancel()
                    await asyncio.wait({coming})


async def _next(following: AsyncIterator[Seen]) -> Seen | None:
    return await anext(following, None)


class OpenStreams:
    """The streams of this process; ends those whose login or token has ended, wherever that happened."""

    def __init__(self) -> None:
        self._streams: set[OpenStream] = set()
        self._watching: asyncio.Task[None] | None = None

    def make_room(self, caller: Caller) -> None:
        """Make sure that a caller may open one more. Raise RateLimited."""
        count = sum(stream.caller.user.pk == caller.user.pk for stream in self._streams)
        if count >= settings.SOCKETS_PER_USER:
            raise RateLimited("Too many streams are open; please close one first.", retry_after=5)

    def add(self, stream: OpenStream) -> None:
        """Count a stream, and watch over whom it is for."""
        self._streams.add(stream)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    def discard(self, stream: OpenStream) -> None:
        """Count a stream no more."""
        self._streams.discard(stream)

    def end_all(self) -> None:
        """Let all streams end: the server does."""
        for stream in self._streams:
            stream.end()

    async def _watch(self) -> None:
        while self._streams:
            await asyncio.sleep(LOOK_AT_CALLERS_EVERY)
            streams = list(self._streams)
            people = {stream.cookie: stream.caller.user for stream in streams if stream.caller.token is None}
            keys = {stream.caller.token.pk for stream in streams if stream.caller.token is not None}
            try:
                ended: set[object] = {*await in_database(logins.ended, people), *await in_database(tokens.ended, keys)}
            except DatabaseError as error:
                logger.warning("Logins cannot be looked at: %s", error)
                continue
            for stream in streams:
                token = stream.caller.token
                if (token.pk if token else stream.cookie) in ended:
                    stream.end()


open_streams = OpenStreams()
