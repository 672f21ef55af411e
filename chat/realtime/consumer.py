"""The websocket of a conversation: parses frames, makes one call for each, and renders what it follows."""

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.signals import user_logged_out
from django.db import DatabaseError, InterfaceError
from django.dispatch import receiver
from django.http import HttpRequest

from chat.accounts import tokens
from chat.conversations import threads
from chat.exceptions import Forbidden, NotFound, NotSignedIn, RateLimited, ServerStopping, ThreadkeeperError
from chat.infra import bus, notifications
from chat.infra.database_limits import is_transient
from chat.infra.db_threads import in_database
from chat.infra.log_context import bind
from chat.infra.notifications import user_group
from chat.infra.request_origin import header, is_same_origin
from chat.infra.root_path import within_site
from chat.models import User
from chat.realtime import client_frames, frame_limits, server_frames
from chat.realtime.authentication import authenticate
from chat.realtime.connections import Connections, Slot
from chat.realtime.debounce import PendingNotifications
from chat.realtime.followers import Followers
from chat.realtime.task_feed import TaskFeed, feeds
from chat.turns import process
from chat.turns.accept import Accepted

logger = logging.getLogger(__name__)

NOT_SIGNED_IN, TOO_SLOW, BAD_DATA, INTERNAL_ERROR = 4401, 4408, 4400, 1011
CLOSE_CODES: dict[type[Exception], int] = {
    NotSignedIn: NOT_SIGNED_IN,
    Forbidden: 4403,
    NotFound: 4404,
    TimeoutError: TOO_SLOW,
    RateLimited: 4429,
    ServerStopping: 1012,  # "service restart"
}
SEND_EVERY = 0.2  # seconds, at most: notifications that arrive together cost one query
PATH = re.compile(r"/ws/chat/([0-9a-fA-F-]{36})/")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class ChatSocket(AsyncWebsocketConsumer):
    """A user's websocket of one conversation."""

    slot: "Slot[ChatSocket] | None" = None
    task_feed: TaskFeed | None = None
    sender: asyncio.Task[None] | None = None
    closed = False
    last_seq = 0
    tasks_revision = 0

    def __init__(self) -> None:
        super().__init__()
        self.followers = Followers(self.send, self._guarded)
        # A message of this socket is acknowledged once: by the handler that accepts it, not by its notification too.
        self.accepting = asyncio.Lock()
        self.pending = PendingNotifications()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not in `disconnect`: a handler that is cancelled never gets there.
            await self._release()

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels' own method also closes database connections of its thread, which this consumer does not use.
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            return  # a notification of a newer version, during a rolling upgrade
        try:
            await handler(message)
        except (DatabaseError, InterfaceError, ServerStopping) as error:
            await self._close_after(error)

    async def connect(self) -> None:
        self.conversation_id = uuid.UUID(self.scope["url_route"]["kwargs"]["conversation_id"])
        bind(socket_id=uuid.uuid4().hex, conversation_id=self.conversation_id)
        await self.accept()
        try:
            self.slot = await open_sockets.reserve_in_all(await in_database(authenticate, self.scope))
            self.slot.open(self)
            # Before the state is read, so that no change is missed.
            await self.channel_layer.group_add(user_group(self.user.pk), self.channel_name)
            self.task_feed = feeds.join(self.user.pk)
            await self.task_feed.start()
            state = await in_database(server_frames.conversation_state, self.user.pk, self.conversation_id)
            await self._send_ready(state)
        except (NotSignedIn, Forbidden, NotFound, RateLimited) as error:
            await self._close_after(error)

    @property
    def user(self) -> User:
        """The user; a socket without one is closed."""
        assert self.slot is not None
        return self.slot.credential.user

    async def _send_ready(self, state: server_frames.ConversationState) -> None:
        """Send the state of the conversation, and follow its active turns."""
        self.last_seq = state.last_seq
        self.tasks_revision = state.tasks_revision
        await self._send(server_frames.ready_frame(state, process.current().logs))
        for turn in state.turns:
            self.followers.follow(turn.id)
        self.sender = asyncio.create_task(self._guarded(self._send_updates()))

    async def _release(self) -> None:
        self.followers.cancel()
        if self.sender is not None:
            self.sender.cancel()
        if self.slot is not None:
            self.slot.release()
            if self.task_feed is not None:
                self.task_feed = None
                feeds.leave(self.user.pk)
            await self.channel_layer.group_discard(user_group(self.user.pk), self.channel_name)

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the socket; later frames are ignored."""
        self.closed = True
        await super().close(code, reason)

    async def login_ended(self) -> None:
        """Close the socket: its login or token has ended."""
        await self.close(NOT_SIGNED_IN)

    async def _close_after(self, error: Exception) -> None:
        """Close the socket after an error: a page opens it again, and sends its messages again."""
        code = next((code for kind, code in CLOSE_CODES.items() if isinstance(error, kind)), INTERNAL_ERROR)
        if isinstance(error, DatabaseError | InterfaceError):
            level = logging.WARNING if is_transient(error) else logging.ERROR
            logger.log(level, "A socket is closed, because the database failed: %s", error.__cause__ or error)
        elif code == INTERNAL_ERROR:
            logger.error("A socket cannot be kept up to date.", exc_info=error)
        await self.close(code)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task of the socket; any error closes the socket, so that no client waits without end."""
        try:
            await work
        except NotFound:
            return  # deleted meanwhile
        except Exception as error:  # noqa: BLE001 - reported, and the socket is closed
            await self._close_after(error)

    # -- frames of the client

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.closed:
            return
        if text_data is None:
            await self.close(BAD_DATA)
            return
        try:
            frame = client_frames.parse(text_data)
        except client_frames.BadFrame as error:
            await self._send(server_frames.error_frame(error, client_frames.client_id_of(text_data)))
            return
        try:
            await self._handle(frame)
        except ServerStopping:
            raise
        except ThreadkeeperError as error:
            await self._send(server_frames.error_frame(error, getattr(frame, "client_id", None)))

    async def _handle(self, frame: client_frames.ClientFrame) -> None:
        frame_limits.count(frame, self.user.pk)
        runner = process.current()
        if isinstance(frame, client_frames.LogAck):
            self.followers.window.acknowledge(str(frame.turn_id), frame.attempt, frame.n)
            return
        if isinstance(frame, client_frames.Ping):
            await self._send(server_frames.pong_frame(frame.n))
            return
        if not await self._is_signed_in():
            return
        theirs = {"user_id": self.user.pk, "conversation_id": self.conversation_id}
        accepted: Accepted | None = None
        async with self.accepting:
            match frame:
                case client_frames.MessageSend(client_id=client_id, text=text, model=model):
                    accepted = await runner.send(**theirs, client_id=client_id, text=text, model=model)
                case client_frames.MessageEdit(message_id=message_id, client_id=client_id, text=text):
                    accepted = await runner.edit(**theirs, message_id=message_id, client_id=client_id, text=text)
                case client_frames.TurnRetry(turn_id=turn_id, client_id=client_id):
                    accepted = await runner.retry(**theirs, turn_id=turn_id, client_id=client_id)
                case client_frames.ApprovalDecide(turn_id=turn_id, call_id=call_id, approve=approve):
                    await runner.decide(**theirs, turn_id=turn_id, call_id=call_id, approve=approve)
                case client_frames.TurnStop():
                    await runner.stop(**theirs, turn_id=frame.turn_id)
                case client_frames.LogFollow():
                    await in_database(threads.status_of, **theirs, turn_id=frame.turn_id)
                    self.followers.check_limit(frame.turn_id)
                    self.followers.follow(frame.turn_id, attempt=frame.attempt, after=frame.after)
            if accepted is not None:
                await self._send(server_frames.accepted_frame(accepted))
                if accepted.turn.pk not in self.followers:
                    self.followers.follow(accepted.turn.pk)

    async def _is_signed_in(self) -> bool:
        """Check the login or token before each action, and close the socket if it has ended."""
        if self.slot is not None and await in_database(self.slot.credential.holds):
            return True
        await self.close(NOT_SIGNED_IN)
        return False

    # -- notifications

    async def turn_accepted(self, notice: dict[str, str]) -> None:
        """Note that a turn was accepted, perhaps from another tab."""
        is_followed = uuid.UUID(notice["turn_id"]) in self.followers
        self.pending.add(notice["conversation_id"], turns=not is_followed)

    async def conversation_updated(self, notice: dict[str, str]) -> None:
        """Note that a conversation changed."""
        self.pending.add(notice["id"])

    async def tasks_changed(self, notice: dict[str, str]) -> None:
        """Note that the task list changed."""
        calls = str(self.conversation_id) in notice.get("conversation_ids", "").split(",")
        self.pending.add(tasks=True, calls=calls)

    async def signed_out(self, notice: dict[str, str]) -> None:
        """Close with the login, or the token."""
        if notice["session_key"] == notifications.ALL_LOGINS:
            await self._is_signed_in()
        elif notice["session_key"] == str(self.slot and self.slot.credential.key):
            await self.close(NOT_SIGNED_IN)

    async def _send_updates(self) -> None:
        """Send the current state of what changed."""
        while True:
            changed = await self.pending.take()
            if changed.turns and self.conversation_id in changed.conversations:
                await self._send_new_turns()
            for frame in await in_database(server_frames.conversation_frames, self.user.pk, changed.conversations):
                await self._send(frame)
            if changed.tasks and self.task_feed is not None:
                texts, self.tasks_revision = await self.task_feed.frames_after(self.tasks_revision)
                for text in texts:
                    await self.send(text)
            if changed.calls:
                await self._send(await in_database(server_frames.changes_frame, self.conversation_id))
            await asyncio.sleep(SEND_EVERY)

    async def _send_new_turns(self) -> None:
        """Send messages from other tabs, and follow their turns."""
        place = (self.user.pk, self.conversation_id, self.last_seq)
        async with self.accepting:
            for accepted in await in_database(server_frames.accepted_after, *place):
                self.last_seq = accepted.turn.seq
                if accepted.turn.pk not in self.followers:
                    await self._send(server_frames.accepted_frame(accepted))
                    self.followers.follow(accepted.turn.pk)

    async def _send(self, frame: dict[str, Any]) -> None:
        await self.send(server_frames.encode(frame))


open_sockets: Connections[ChatSocket] = Connections("sockets")


def _refresh_sockets() -> None:
    for socket in open_sockets:
        socket.pending.add(str(socket.conversation_id), turns=True, tasks=True)


bus.on_connect(_refresh_sockets)


@receiver(user_logged_out, dispatch_uid="close the sockets of a login")
def _close_sockets(sender: object, request: HttpRequest | None, user: User | None, **_: object) -> None:
    """Notify the sockets of a login that it has ended."""
    if request is not None and user is not None and request.session.session_key:
        notifications.on_commit(notifications.signed_out, user.pk, request.session.session_key)


_socket = cast(Application, ChatSocket.as_asgi())


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Route a websocket to its conversation, or refuse it."""
    match = PATH.fullmatch(within_site(scope["path"]))
    try:
        conversation_id = uuid.UUID(match[1]) if match else None
    except ValueError:
        conversation_id = None
    # No page can send this header, so that its client is a program.
    has_token = tokens.bearer_of(header(scope, b"authorization")) is not None
    if conversation_id is None or not (has_token or is_same_origin(scope)):
        await receive()
        await send({"type": "websocket.close"})
        return
    route = {"args": (), "kwargs": {"conversation_id": str(conversation_id)}}
    await _socket({**scope, "url_route": route}, receive, send)
