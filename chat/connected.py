"""Who is connected to this process for longer than a request: let go of when the login or token ends elsewhere."""

import asyncio
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from django.db import DatabaseError

from chat import logins, tokens
from chat.bridge import in_database
from chat.models import User

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Pass:
    """By what somebody is connected: a token, or else a login's cookie."""

    user: User
    cookie: str
    token_id: uuid.UUID | None

    @property
    def key(self) -> uuid.UUID | str:
        """What is looked at: whether it still holds."""
        return self.token_id or self.cookie


class Connection(Protocol):
    """A socket, or a stream."""

    async def login_ended(self) -> None:
        """End it: whoever it is for is not signed in any more."""


C = TypeVar("C", bound=Connection)


class Connected(Generic[C]):
    """The connections of one kind."""

    def __init__(self) -> None:
        self._there: dict[C, Pass] = {}
        self._watching: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[C]:
        return iter(list(self._there))

    def of(self, user: User) -> int:
        """Count a person's."""
        return sum(shown.user.pk == user.pk for shown in self._there.values())

    def add(self, connection: C, shown: Pass) -> None:
        """Count a connection, and watch over the login or token that was shown."""
        self._there[connection] = shown
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    def discard(self, connection: C) -> None:
        """Count a connection no more."""
        self._there.pop(connection, None)

    async def _watch(self) -> None:
        while self._there:
            await asyncio.sleep(LOOK_EVERY)
            there = dict(self._there)
            try:
                ended = await in_database(_ended, list(there.values()))
            except DatabaseError as error:
                logger.warning("Logins cannot be looked at: %s", error)
                continue
            for connection, shown in there.items():
                if shown.key in ended:
                    await connection.login_ended()


def _ended(shown: list[Pass]) -> set[uuid.UUID | str]:
    people = {one.cookie: one.user for one in shown if one.token_id is None}
    keys = {one.token_id for one in shown if one.token_id is not None}
    return {*(logins.ended(people) if people else ()), *(tokens.ended(keys) if keys else ())}
