"""Notify the sockets of a user of a change. Notifications may be lost: nothing depends on them.

Services call `on_commit` with one of the coroutine functions here, so that entry points need not.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, Literal, ParamSpec

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

from chat.infra import bus
from chat.infra.db_threads import calling_loop

logger = logging.getLogger(__name__)

P = ParamSpec("P")

ALL_LOGINS = ""
SERVERS = "servers"  # the group of the server processes
ServerNotice = Literal["turn.stop", "turn.changed", "turns.waiting"]


def on_commit(send: Callable[P, Coroutine[Any, Any, None]], *args: P.args, **kwargs: P.kwargs) -> None:
    """Send a notification after the current transaction commits; immediately without one."""
    transaction.on_commit(partial(_send_from_thread, partial(send, *args, **kwargs)), robust=True)


def _send_from_thread(send: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `send` in the event loop of the sockets, from any thread."""
    if (loop := calling_loop()) is None:
        async_to_sync(send)()
    else:
        asyncio.run_coroutine_threadsafe(send(), loop).add_done_callback(_log_failure)


def _log_failure(sending: "Future[None]") -> None:
    if not sending.cancelled() and (error := sending.exception()) is not None:
        logger.warning("A notification was not sent: %s", type(error).__name__)


def user_group(user_id: uuid.UUID) -> str:
    """Return the group name of a user's sockets."""
    return f"user.{user_id}"


async def tasks_changed(user_id: uuid.UUID, conversation_ids: Collection[uuid.UUID] = ()) -> None:
    """Notify a user's sockets of a changed task list, and of the conversations whose calls made or undid changes."""
    ids = ",".join(str(each) for each in conversation_ids)
    await _send(user_group(user_id), {"type": "tasks.changed"} | ({"conversation_ids": ids} if ids else {}))


async def conversation_updated(user_id: uuid.UUID, conversation_id: uuid.UUID) -> None:
    """Notify a user's sockets that a conversation was created, renamed, moved or deleted, or has a new message."""
    await _send(user_group(user_id), {"type": "conversation.updated", "id": str(conversation_id)})


async def turn_accepted(user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> None:
    """Notify a user's sockets of a new turn, so that they follow it."""
    await _send(
        user_group(user_id), {"type": "turn.accepted", "conversation_id": str(conversation_id), "turn_id": str(turn_id)}
    )


async def signed_out(user_id: uuid.UUID, session_key: str = ALL_LOGINS) -> None:
    """Notify the sockets of one login or token (by its id) that it has ended, or all sockets of a user."""
    await _send(user_group(user_id), {"type": "signed.out", "session_key": session_key})


def to_servers(kind: ServerNotice, turn_id: uuid.UUID | None = None) -> None:
    """Notify the other server processes: of a turn to stop, of one that changed, or that some wait for a process."""
    bus.post(SERVERS, {"type": kind, "turn_id": str(turn_id or "")})


async def _send(group: str, notice: dict[str, str]) -> None:
    layer = get_channel_layer()
    if layer is not None:
        await layer.group_send(group, notice)
    await bus.send(group, notice)
