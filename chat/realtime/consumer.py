"""The websocket of a conversation: frames in, one call each; what is followed, out."""

import asyncio
import logging
import re
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth.signals import user_logged_out
from django.db import DatabaseError, InterfaceError
from django.dispatch import receiver
from django.http import HttpRequest, parse_cookie

from chat.accounts import login_sessions, tokens
from chat.exceptions import NotFound, NotSignedIn, RateLimited, ServerStopping, ThreadkeeperError
from chat.infra import notifications
from chat.infra.client_address import client_address, limit_key
from chat.infra.database_limits import is_transient
from chat.infra.db_threads import in_database
from chat.infra.notifications import user_group
from chat.infra.request_origin import header, is_same_origin
from chat.infra.throttle import by_address
from chat.models import User
from chat.models.token import Scope as TokenScope
from chat.realtime import frame_limits, frames, outgoing
from chat.realtime.connections import Connections, Credential, Slot
from chat.realtime.debounce import PendingNotifications
from chat.realtime.frames import (
    ApprovalDecide,
    LogAck,
    LogFollow,
    MessageEdit,
    MessageSend,
    Ping,
    TurnRetry,
    TurnStop,
)
from chat.realtime.task_feed import TaskFeed, feeds
from chat.turns import process
from chat.turns.accept import Accepted
from chat.turns.follow import follow

logger = logging.getLogger(__name__)

NOT_SIGNED_IN, NOT_ALLOWED, NOT_THEIRS, TOO_SLOW, TOO_MANY, UNUSABLE, BROKEN = 4401, 4403, 4404, 4408, 4429, 4400, 1011
SERVICE_RESTART = 1012

UNACKNOWLEDGED = 256 * 1024  # bytes
ACK_WITHIN = 60.0  # seconds
SEND_EVERY = 0.2  # seconds, at most: what changes all the time is not sent all the time
# Turns that a client may ask to follow at once, those that have not ended among them. The server follows those by
# itself, and no more of them exist than QUEUE_PER_CONVERSATION and one.
FOLLOWED_AT_ONCE = 32
ENDED_REMEMBERED = 100  # turns: they are not followed again because their message is repeated
PATH = re.compile(r"/ws/chat/([0-9a-fA-F-]{36})/")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Window:
    """What was sent of logs and not acknowledged yet: bounds what a reader who does not read costs."""

    def __init__(self) -> None:
        self._sent: deque[tuple[str, int, int, int]] = deque()
        self._bytes = 0
        self._acknowledged = asyncio.Event()
        self._line = asyncio.Lock()

    async def take(self, turn_id: str, attempt: int, n: int, size: int) -> None:
        """Wait for room for a frame, and count it. Raise TimeoutError if the client acknowledges nothing.

        A frame that is larger than the whole window goes alone.
        """
        async with self._line:  # first come, first served
            while self._bytes and self._bytes + size > UNACKNOWLEDGED:
                self._acknowledged.clear()
                async with asyncio.timeout(ACK_WITHIN):
                    await self._acknowledged.wait()
            self._sent.append((turn_id, attempt, n, size))
            self._bytes += size

    def acknowledged(self, turn_id: str, attempt: int, n: int) -> None:
        """Take off the count what a reader has seen of a turn."""
        self._sent = deque(frame for frame in self._sent if frame[0] != turn_id or frame[1:3] > (attempt, n))
        self._bytes = sum(frame[3] for frame in self._sent)
        self._acknowledged.set()


class ChatSocket(AsyncWebsocketConsumer):
    """A user's websocket of one conversation."""

    user: User | None = None
    # The credential: a token's id, or a login's cookie.
    token_id: uuid.UUID | None = None
    cookie = ""
    slot: "Slot[ChatSocket] | None" = None
    closed = False

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.followers: dict[uuid.UUID, asyncio.Task[None]] = {}
        self.last_seq = 0
        # A message of this socket is acknowledged once: by the handler that accepts it, not by its notification too.
        self.accepting = asyncio.Lock()
        self.pending = PendingNotifications()
        self.sender: asyncio.Task[None] | None = None
        self.task_feed: TaskFeed | None = None
        self.tasks_revision = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not in `disconnect`: a handler that is cut off never gets there.
            await self._leave()

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels' own method also closes database connections of its thread, which this consumer does not use.
        try:
            await getattr(self, get_handler_name(message))(message)
        except (DatabaseError, InterfaceError) as error:
            await self._fail(error)
        except ServerStopping:
            await self.close(SERVICE_RESTART)

    async def connect(self) -> None:
        self.conversation_id = uuid.UUID(self.scope["url_route"]["kwargs"]["conversation_id"])
        await self.accept()
        user = await self._authenticate()
        if user is None:
            return
        try:
            self.slot = open_sockets.reserve(Credential(user, self.cookie, self.token_id))
        except RateLimited:
            await self.close(TOO_MANY)
            return
        self.user = user
        self.slot.open(self)
        # Before the state is read, so that nothing falls between.
        await self.channel_layer.group_add(user_group(user.pk), self.channel_name)
        self.task_feed = feeds.join(user.pk)
        await self.task_feed.start()
        try:
            await self._send_ready(await in_database(outgoing.conversation_state, user.pk, self.conversation_id))
        except NotFound:
            await self.close(NOT_THEIRS)

    async def _authenticate(self) -> User | None:
        """Return the user who opens the socket, or close it. A token takes precedence over a cookie."""
        key = tokens.bearer_of(header(dict(self.scope), b"authorization"))
        if key is None:
            self.cookie = _cookie(dict(self.scope))
            user = await in_database(login_sessions.signed_in, self.cookie)
            if user is None:
                await self.close(NOT_SIGNED_IN)
            return user
        try:
            token = await in_database(tokens.find, key)
        except NotSignedIn:
            await self.close(self._count_unknown())
            return None
        if TokenScope.CHAT not in token.scopes:
            await self.close(NOT_ALLOWED)
            return None
        self.token_id = token.pk
        return token.user

    def _count_unknown(self) -> int:
        """Count an invalid token as a request without a sign-in; return the code to close with."""
        try:
            by_address.count(limit_key(client_address(self.scope)))
        except RateLimited:
            return TOO_MANY
        return NOT_SIGNED_IN

    async def _send_ready(self, state: outgoing.ConversationState) -> None:
        """Send the state of the conversation, and follow its active turns."""
        self.last_seq = state.last_seq
        self.tasks_revision = state.tasks_revision
        logs = process.current().logs
        turns = [{**turn, "n": log.n if (log := logs.get(uuid.UUID(turn["id"]))) else 0} for turn in state.turns]
        await self._send(
            {
                "type": "ready",
                "protocol": frames.PROTOCOL,
                "conversation": state.conversation,
                "turns": turns,
                "tasks_revision": state.tasks_revision,
            }
        )
        for turn in state.turns:
            self._follow(uuid.UUID(turn["id"]))
        self.sender = asyncio.create_task(self._guarded(self._send_updates()))

    async def _leave(self) -> None:
        if self.slot is not None:
            self.slot.release()
        if self.user is not None and self.task_feed is not None:
            self.task_feed = None
            feeds.leave(self.user.pk)
        for task in [*self.followers.values(), self.sender]:
            if task is not None:
                task.cancel()
        if self.user is not None:
            await self.channel_layer.group_discard(user_group(self.user.pk), self.channel_name)

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the socket; later frames are ignored."""
        self.closed = True
        await super().close(code, reason)

    async def _fail(self, error: Exception) -> None:
        """Close the socket after an error of the database: a page opens it again, and sends its messages again."""
        level = logging.WARNING if is_transient(error) else logging.ERROR
        logger.log(level, "A socket is closed, because the database failed: %s", error.__cause__ or error)
        await self.close(BROKEN)

    async def login_ended(self) -> None:
        """Close the socket: its login or token has ended."""
        await self.close(NOT_SIGNED_IN)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.closed:
            return
        if text_data is None:
            await self.close(UNUSABLE)
            return
        try:
            frame = frames.parse(text_data)
        except frames.BadFrame as error:
            await self._send(frames.error_frame(error, frames.client_id_of(text_data)))
            return
        try:
            await self._handle(frame)
        except ServerStopping:
            raise
        except ThreadkeeperError as error:
            await self._send(frames.error_frame(error, getattr(frame, "client_id", None)))

    # -- frames of the client

    async def _handle(self, frame: frames.ClientFrame) -> None:
        assert self.user is not None  # noqa: S101 - else the socket is closed
        frame_limits.count(frame, self.user.pk)
        of_theirs = {"user_id": self.user.pk, "conversation_id": self.conversation_id}
        if not isinstance(frame, LogAck | Ping) and not await self._still_signed_in():
            return
        runner = process.current()
        match frame:
            case MessageSend():
                await self._accepted(
                    runner.send(**of_theirs, client_id=frame.client_id, text=frame.text, model=frame.model)
                )
            case MessageEdit():
                await self._accepted(
                    runner.edit(**of_theirs, message_id=frame.message_id, client_id=frame.client_id, text=frame.text)
                )
            case ApprovalDecide():
                await runner.decide(**of_theirs, turn_id=frame.turn_id, call_id=frame.call_id, approve=frame.approve)
            case TurnRetry():
                await self._accepted(runner.retry(**of_theirs, client_id=frame.client_id, turn_id=frame.turn_id))
            case TurnStop():
                await runner.stop(**of_theirs, turn_id=frame.turn_id)
            case LogFollow():
                await in_database(outgoing.check_turn, **of_theirs, turn_id=frame.turn_id)
                self._check_followers(frame.turn_id)
                self._follow(frame.turn_id, attempt=frame.attempt, after=frame.after)
            case LogAck():
                self.window.acknowledged(str(frame.turn_id), frame.attempt, frame.n)
            case Ping():
                await self._send({"type": "pong", "n": frame.n})

    async def _still_signed_in(self) -> bool:
        """Check the login or token again before each action: it may have ended."""
        if self.token_id is not None:
            holds = await in_database(tokens.holds, self.token_id)
        else:
            holds = self.user is not None and await in_database(login_sessions.holds, self.cookie, self.user)
        if holds:
            return True
        await self.close(NOT_SIGNED_IN)
        return False

    async def _accepted(self, accepting: Awaitable[Accepted]) -> None:
        """Acknowledge what is accepted, and follow its turn."""
        async with self.accepting:
            accepted = await accepting
            turn = accepted.turn
            await self._send(outgoing.accepted_frame(accepted.message, turn, accepted.ahead))
            if turn.pk not in self.followers:
                self._follow(turn.pk)

    # -- followers

    def _check_followers(self, turn_id: uuid.UUID) -> None:
        """Raise RateLimited where one more turn would be too many; to follow one anew is always possible."""
        others = sum(not task.done() for followed, task in self.followers.items() if followed != turn_id)
        if others >= FOLLOWED_AT_ONCE:
            detail = f"A socket follows at most {FOLLOWED_AT_ONCE} turns at once; please read some to their end first."
            raise RateLimited(detail, retry_after=5)

    def _follow(self, turn_id: uuid.UUID, *, attempt: int = 0, after: int = 0) -> None:
        """Start to follow a turn; an earlier follower is replaced."""
        if (before := self.followers.pop(turn_id, None)) is not None:
            before.cancel()
        ended = [followed for followed, task in self.followers.items() if task.done()]
        for followed in ended[:-ENDED_REMEMBERED]:
            del self.followers[followed]
        self.followers[turn_id] = asyncio.create_task(self._guarded(self._send_log(turn_id, attempt, after)))

    async def _send_log(self, turn_id: uuid.UUID, attempt: int, after: int) -> None:
        async for seen in follow(process.current().logs, turn_id, attempt=attempt, after=after):
            for entry in seen.entries:
                text = frames.encode(frames.event_frame(entry.event, turn_id=turn_id, attempt=seen.attempt, n=entry.n))
                await self.window.take(str(turn_id), seen.attempt, entry.n, len(text.encode()))
                await self.send(text_data=text)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task of the socket; an error closes the socket, and the client connects again."""
        try:
            await work
        except NotFound:
            return  # deleted meanwhile
        except TimeoutError:
            await self.close(TOO_SLOW)
        except ServerStopping:
            await self.close(SERVICE_RESTART)
        except (DatabaseError, InterfaceError) as error:
            await self._fail(error)
        except Exception:
            # Any error closes the socket, so that no client waits for a frame that never arrives.
            logger.exception("A socket cannot be kept up to date.")
            await self.close(BROKEN)

    # -- notifications

    async def turn_accepted(self, notice: dict[str, str]) -> None:
        """Note that a turn was accepted, perhaps from another tab."""
        self.pending.add_conversation(notice["conversation_id"])
        if uuid.UUID(notice["turn_id"]) not in self.followers:
            self.pending.add_turns()

    async def conversation_updated(self, notice: dict[str, str]) -> None:
        """Note that a conversation changed."""
        self.pending.add_conversation(notice["id"])

    async def tasks_changed(self, notice: dict[str, str]) -> None:
        """Note that the task list changed."""
        self.pending.add_tasks()
        if str(self.conversation_id) in notice.get("conversation_ids", "").split(","):
            self.pending.add_calls()

    async def signed_out(self, notice: dict[str, str]) -> None:
        """Close with the login, or the token."""
        if notice["session_key"] == notifications.ALL_LOGINS:
            await self._still_signed_in()
        elif notice["session_key"] == str(self.token_id or self.cookie):
            await self.close(NOT_SIGNED_IN)

    async def _send_updates(self) -> None:
        """Send the current state of what changed: notifications that arrive together cost one query."""
        assert self.user is not None  # noqa: S101 - set before this task starts
        while True:
            conversations, turns, tasks, calls = await self.pending.take()
            if turns and self.conversation_id in conversations:
                await self._send_new_turns(self.user)
            for frame in await in_database(outgoing.conversation_frames, self.user.pk, conversations):
                await self._send(frame)
            if tasks:
                await self._send_task_changes()
            if calls:
                await self._send(await in_database(outgoing.changes_frame, self.conversation_id))
            await asyncio.sleep(SEND_EVERY)

    async def _send_task_changes(self) -> None:
        if self.task_feed is not None:
            texts, self.tasks_revision = await self.task_feed.frames_after(self.tasks_revision)
            for text in texts:
                await self.send(text_data=text)

    async def _send_new_turns(self, user: User) -> None:
        """Send messages from other tabs, and follow their turns."""
        async with self.accepting:
            for accepted in await in_database(outgoing.accepted_after, user.pk, self.conversation_id, self.last_seq):
                self.last_seq = accepted.seq
                if accepted.turn_id not in self.followers:
                    await self._send(accepted.frame)
                    self._follow(accepted.turn_id)

    async def _send(self, frame: dict[str, Any]) -> None:
        await self.send(text_data=frames.encode(frame))


open_sockets: Connections[ChatSocket] = Connections("sockets")


@receiver(user_logged_out, dispatch_uid="close the sockets of a login")
def _close_sockets(sender: object, request: HttpRequest | None, user: User | None, **_: object) -> None:
    """Notify the sockets of a login that it has ended."""
    if request is not None and user is not None and request.session.session_key:
        notifications.on_commit(notifications.signed_out, user.pk, request.session.session_key)


def _cookie(scope: Scope) -> str:
    return parse_cookie(header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME, "")


_socket = cast(Application, ChatSocket.as_asgi())


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Route a websocket to its conversation, or turn it away."""
    match = PATH.fullmatch(scope["path"])
    try:
        conversation_id = uuid.UUID(match[1]) if match else None
    except ValueError:
        conversation_id = None
    # No page can send this header along: who does is a program.
    has_token = tokens.bearer_of(header(scope, b"authorization")) is not None
    if conversation_id is None or not (has_token or is_same_origin(scope)):
        await receive()
        await send({"type": "websocket.close"})
        return
    route = {"args": (), "kwargs": {"conversation_id": str(conversation_id)}}
    await _socket({**scope, "url_route": route}, receive, send)
