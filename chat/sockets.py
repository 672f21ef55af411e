"""The websocket of a conversation: frames in, one call each; what is followed, out."""

import asyncio
import re
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib import auth
from django.contrib.sessions.backends.db import SessionStore as LoginStore
from django.http import HttpRequest, parse_cookie
from django.http.request import split_domain_port, validate_host

from chat import protocol
from chat.bridge import in_database
from chat.exceptions import NotFound, ThreadkeeperError
from chat.models import User
from chat.notices import user_group
from chat.protocol import LogAck, LogFollow, MessageSend, Ping, TurnRetry, TurnStop
from chat.turns import process, reading
from chat.turns.accept import Accepted
from chat.turns.follow import follow

NOT_SIGNED_IN, NOT_THEIRS, TOO_SLOW, TOO_MANY, UNUSABLE = 4401, 4404, 4408, 4429, 4400

UNACKNOWLEDGED = 256 * 1024  # bytes
ACK_WITHIN = 60.0  # seconds
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
        self._room = asyncio.Event()
        self._room.set()

    async def wait(self) -> None:
        """Wait until more may be sent; raise TimeoutError where nobody acknowledges."""
        async with asyncio.timeout(ACK_WITHIN):
            await self._room.wait()

    def sent(self, turn_id: str, attempt: int, n: int, size: int) -> None:
        """Count a frame."""
        self._sent.append((turn_id, attempt, n, size))
        self._bytes += size
        if self._bytes >= UNACKNOWLEDGED:
            self._room.clear()

    def acknowledged(self, turn_id: str, attempt: int, n: int) -> None:
        """Take off the count what a reader has seen of a turn."""
        left = deque(frame for frame in self._sent if frame[0] != turn_id or frame[1:3] > (attempt, n))
        self._sent, self._bytes = left, sum(frame[3] for frame in left)
        if self._bytes < UNACKNOWLEDGED:
            self._room.set()


class ChatSocket(AsyncWebsocketConsumer):
    """One person's window on one conversation."""

    sockets: ClassVar[Counter[uuid.UUID]] = Counter()

    user: User | None = None
    counted = False

    async def connect(self) -> None:
        self.cookie = _cookie(dict(self.scope))
        self.conversation_id = uuid.UUID(self.scope["url_route"]["kwargs"]["conversation_id"])
        self.followers: dict[uuid.UUID, asyncio.Task[None]] = {}
        self.window = Window()
        await self.accept()
        user = await in_database(signed_in, self.cookie)
        if user is None:
            await self.close(NOT_SIGNED_IN)
            return
        if self.sockets[user.pk] >= settings.SOCKETS_PER_USER:
            await self.close(TOO_MANY)
            return
        self.user = user
        self.sockets[user.pk] += 1
        self.counted = True
        # Before the state is read, so that nothing falls between.
        await self.channel_layer.group_add(user_group(user.pk), self.channel_name)
        try:
            state = await in_database(reading.conversation_state, user.pk, self.conversation_id)
        except NotFound:
            await self.close(NOT_THEIRS)
            return
        runner = process.current()
        turns = [{**turn, "n": log.n if (log := runner.logs.get(uuid.UUID(turn["id"]))) else 0} for turn in state.turns]
        await self._send(
            {"type": "ready", "protocol": protocol.PROTOCOL, "conversation": state.conversation, "turns": turns}
        )
        for turn in state.turns:
            self._follow(uuid.UUID(turn["id"]))

    async def disconnect(self, code: int) -> None:
        for follower in self.followers.values():
            follower.cancel()
        if self.user is not None and self.counted:
            self.counted = False
            self.sockets[self.user.pk] -= 1
            if not self.sockets[self.user.pk]:
                del self.sockets[self.user.pk]
            await self.channel_layer.group_discard(user_group(self.user.pk), self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.user is None:
            return
        if text_data is None:
            await self.close(UNUSABLE)
            return
        try:
            frame = protocol.parse(text_data)
        except protocol.BadFrame as error:
            await self._send(protocol.error_frame(error, protocol.client_id_of(text_data)))
            return
        try:
            await self._handle(frame)
        except ThreadkeeperError as error:
            await self._send(protocol.error_frame(error, getattr(frame, "client_id", None)))

    # -- frames of the client

    async def _handle(self, frame: protocol.ClientFrame) -> None:
        assert self.user is not None  # noqa: S101 - seen by receive
        of_theirs = {"user_id": self.user.pk, "conversation_id": self.conversation_id}
        match frame:
            case MessageSend():
                if await self._still_signed_in():
                    runner = process.current()
                    await self._accepted(await runner.send(**of_theirs, client_id=frame.client_id, text=frame.text))
            case TurnRetry():
                if await self._still_signed_in():
                    runner = process.current()
                    await self._accepted(
                        await runner.retry(**of_theirs, client_id=frame.client_id, turn_id=frame.turn_id)
                    )
            case TurnStop():
                await process.current().stop(**of_theirs, turn_id=frame.turn_id)
            case LogFollow():
                await in_database(reading.check_turn, **of_theirs, turn_id=frame.turn_id)
                self._follow(frame.turn_id, attempt=frame.attempt, after=frame.after)
            case LogAck():
                self.window.acknowledged(str(frame.turn_id), frame.attempt, frame.n)
            case Ping():
                await self._send({"type": "pong", "n": frame.n})

    async def _still_signed_in(self) -> bool:
        """Look at the login again before anything is done for it: it may have ended since."""
        if await in_database(signed_in, self.cookie) == self.user:
            return True
        await self.close(NOT_SIGNED_IN)
        return False

    async def _accepted(self, accepted: Accepted) -> None:
        turn = accepted.turn
        await self._send(reading.accepted_frame(accepted.message, turn, accepted.ahead))
        if turn.pk not in self.followers:
            self._follow(turn.pk)

    # -- followers

    def _follow(self, turn_id: uuid.UUID, *, attempt: int = 0, after: int = 0) -> None:
        """Begin to follow a turn; a follower that there was is replaced."""
        if (before := self.followers.get(turn_id)) is not None:
            before.cancel()
        self.followers[turn_id] = asyncio.create_task(self._follower(turn_id, attempt, after))

    async def _follower(self, turn_id: uuid.UUID, attempt: int, after: int) -> None:
        try:
            async for seen in follow(process.current().logs, turn_id, attempt=attempt, after=after):
                for entry in seen.entries:
                    await self.window.wait()
                    frame = protocol.event_frame(entry.event, turn_id=turn_id, attempt=seen.attempt, n=entry.n)
                    size = await self._send(frame)
                    self.window.sent(str(turn_id), seen.attempt, entry.n, size)
        except TimeoutError:
            await self.close(TOO_SLOW)
        except NotFound:
            return  # deleted meanwhile

    # -- notices

    async def turn_accepted(self, notice: dict[str, str]) -> None:
        """Show what was said in another tab, and follow it."""
        turn_id = uuid.UUID(notice["turn_id"])
        if notice["conversation_id"] == str(self.conversation_id) and turn_id not in self.followers:
            with suppress(NotFound):
                await self._send(await in_database(reading.accepted_elsewhere, turn_id))
                self._follow(turn_id)
        await self.conversation_updated({"id": notice["conversation_id"]})

    async def conversation_updated(self, notice: dict[str, str]) -> None:
        """Pass on a conversation's new state."""
        assert self.user is not None  # noqa: S101 - in the group
        with suppress(NotFound):
            state = await in_database(reading.conversation_view, self.user.pk, uuid.UUID(notice["id"]))
            await self._send({"type": "conversation.updated", "conversation": state})

    async def tasks_changed(self, notice: dict[str, str]) -> None:
        """Pass on the task list."""
        assert self.user is not None  # noqa: S101 - in the group
        tasks = await in_database(reading.task_views, self.user.pk)
        await self._send({"type": "tasks.changed", "tasks": tasks})

    async def signed_out(self, notice: dict[str, str]) -> None:
        """Close with the login."""
        if notice["session_key"] == self.cookie:
            await self.close(NOT_SIGNED_IN)

    async def _send(self, frame: dict[str, Any]) -> int:
        text = protocol.encode(frame)
        await self.send(text_data=text)
        return len(text.encode())


def signed_in(cookie: str) -> User | None:
    """Return who a login's cookie belongs to, or None where it is not valid (any more)."""
    request = HttpRequest()
    request.session = LoginStore(cookie)
    user = auth.get_user(request)
    return user if isinstance(user, User) and user.is_active else None


def _cookie(scope: Scope) -> str:
    headers = dict(scope["headers"])
    return parse_cookie(headers.get(b"cookie", b"").decode("latin1")).get(settings.SESSION_COOKIE_NAME, "")


def is_same_origin(scope: Scope) -> bool:
    """Tell whether a page of ours opened the socket: a browser sends its cookies along for any page."""
    headers = {name: value.decode("latin1") for name, value in scope["headers"]}
    origin, host = headers.get(b"origin", ""), headers.get(b"host", "")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    domain, _ = split_domain_port(host)
    return bool(domain) and urlsplit(origin).netloc == host and validate_host(domain, settings.ALLOWED_HOSTS)


_socket = cast(Application, ChatSocket.as_asgi())


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Route a websocket to its conversation, or turn it away."""
    match = PATH.fullmatch(scope["path"])
    try:
        conversation_id = uuid.UUID(match[1]) if match else None
    except ValueError:
        conversation_id = None
    if conversation_id is None or not is_same_origin(scope):
        await receive()
        await send({"type": "websocket.close"})
        return
    route = {"args": (), "kwargs": {"conversation_id": str(conversation_id)}}
    await _socket({**scope, "url_route": route}, receive, send)
