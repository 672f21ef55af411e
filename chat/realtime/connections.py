"""Connections that last longer than a request: how many a user has, and until when their login or token holds."""

import asyncio
import logging
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from django.conf import settings
from django.db import DatabaseError

from chat.accounts import login_sessions, tokens
from chat.exceptions import RateLimited
from chat.infra.db_threads import in_database
from chat.infra.limits import redis_limits
from chat.infra.metrics import SOCKETS, STREAMS
from chat.models import User

logger = logging.getLogger(__name__)

CHECK_EVERY = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of a connection: a token, or a login's cookie."""

    user: User
    cookie: str
    token_id: uuid.UUID | None

    @property
    def key(self) -> uuid.UUID | str:
        """The key by which it is checked."""
        return self.token_id or self.cookie

    def holds(self) -> bool:
        """Return whether the token or the login is still valid."""
        return tokens.holds(self.token_id) if self.token_id else login_sessions.holds(self.cookie, self.user)


class Connection(Protocol):
    """A socket, or a stream."""

    async def login_ended(self) -> None:
        """Close it: its login or token has ended."""


C = TypeVar("C", bound=Connection)

# Released from whichever thread closes a response or collects it, maybe while another reservation is made.
_lock = threading.RLock()


class Slot(Generic[C]):
    """One of a user's slots for connections of a kind; reserved before there is a connection, and released once."""

    def __init__(self, connections: "Connections[C]", credential: Credential) -> None:
        self.id = uuid.uuid4().hex
        self.credential = credential
        self._connections = connections
        self._connection: weakref.ref[C] | None = None

    @property
    def connection(self) -> C | None:
        """The connection, while there is one."""
        return self._connection() if self._connection is not None else None

    def open(self, connection: C) -> None:
        """Set the connection, which is closed when its login or token ends."""
        self._connection = weakref.ref(connection)
        self._connections.watch()

    def release(self) -> None:
        """Release the slot; more than once changes nothing."""
        self._connections.discard(self)


class Connections(Generic[C]):
    """The connections of one kind: at most SOCKETS_PER_USER for each user."""

    def __init__(self, name: Literal["sockets", "streams"]) -> None:
        self._name = name
        self._gauge = {"sockets": SOCKETS, "streams": STREAMS}[name]
        self._slots: set[Slot[C]] = set()
        self._counts: Counter[uuid.UUID] = Counter()
        self._watching: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[C]:
        with _lock:
            slots = list(self._slots)
        return (connection for slot in slots if (connection := slot.connection) is not None)

    def reserve(self, credential: Credential, *, spare: int = 0) -> Slot[C]:
        """Reserve a slot for a connection that is about to be made.

        `spare` is a number of slots beyond the user's limit. Raise RateLimited if none is free.
        """
        with _lock:
            if self._counts[credential.user.pk] >= settings.SOCKETS_PER_USER + spare:
                raise self._too_many()
            slot = Slot(self, credential)
            self._slots.add(slot)
            self._counts[credential.user.pk] += 1
            self._gauge.inc()
            return slot

    async def reserve_in_all(self, credential: Credential, *, spare: int = 0) -> Slot[C]:
        """Reserve a slot among those of all server processes. Raise RateLimited."""
        slot = self.reserve(credential, spare=spare)
        if (shared := redis_limits()) is not None:
            most = settings.SOCKETS_PER_USER + spare
            try:
                if not await asyncio.to_thread(shared.reserve, self._name, credential.user.pk, slot.id, most):
                    raise self._too_many()
            except BaseException:
                slot.release()
                raise
        return slot

    def _too_many(self) -> RateLimited:
        return RateLimited(f"Too many {self._name} are open; please close one first.", retry_after=5)

    @asynccontextmanager
    async def reserved(self, credential: Credential, *, spare: int = 0) -> AsyncIterator[Slot[C]]:
        """Reserve a slot for the connection that a block makes; release it if the block fails. Raise RateLimited."""
        slot = await self.reserve_in_all(credential, spare=spare)
        try:
            yield slot
        except BaseException:
            slot.release()
            raise

    def discard(self, slot: Slot[C]) -> None:
        """Remove a slot."""
        user_id = slot.credential.user.pk
        with _lock:
            if slot in self._slots:
                self._slots.remove(slot)
                self._counts[user_id] -= 1
                self._gauge.dec()
                if not self._counts[user_id]:
                    del self._counts[user_id]
                if (shared := redis_limits()) is not None:
                    shared.release(self._name, user_id, slot.id)

    def watch(self) -> None:
        """Check the logins and tokens of connections for as long as there are any."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while self._slots:
            await asyncio.sleep(CHECK_EVERY)
            with _lock:
                open_slots = [slot for slot in self._slots if slot.connection is not None]
            if (shared := redis_limits()) is not None:
                shared.renew(self._name, [(slot.credential.user.pk, slot.id) for slot in open_slots])
            try:
                ended = await in_database(_ended, [slot.credential for slot in open_slots])
            except DatabaseError as error:
                logger.warning("Logins cannot be checked: %s", error)
                continue
            for slot in open_slots:
                if slot.credential.key in ended and (connection := slot.connection) is not None:
                    await connection.login_ended()


def _ended(credentials: list[Credential]) -> set[uuid.UUID | str]:
    logins = {each.cookie: each.user for each in credentials if each.token_id is None}
    keys = {each.token_id for each in credentials if each.token_id is not None}
    return {*(login_sessions.ended(logins) if logins else ()), *(tokens.ended(keys) if keys else ())}
