"""A model's endpoint on the loopback: it plays a script or a rule, and refuses what a provider would refuse."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from chat.tests.model_server.completions import CompletionsWire
from chat.tests.model_server.http import Connection, RawRequest
from chat.tests.model_server.pieces import error_body
from chat.tests.model_server.request import PATHS, Request
from chat.tests.model_server.responses import ResponsesWire
from chat.tests.model_server.script import AbortedConnection, Answer, HtmlPage, HttpError, Raw, Rule, Step
from chat.tests.model_server.strict import Strictness

BROKEN_EVENT = b'data: {"type": "response.output_text.del\n\n'


class ModelServer:
    """A server for the Responses API and Chat Completions; an async context manager.

    `script` is played first, then `rule` answers; a request that neither answers is a problem. `requests` holds the
    requests received, `problems` what a provider would have refused, and `unknown_requests` those with other paths or
    methods. `connection_count` counts the connections, and `abandoned_streams` the streams that the client closed
    before their end. With `strict` it refuses what the strictest providers refuse, and `refused` holds their error
    messages. After `pause`, streams wait before their next piece of content; `release` lets a number of pieces pass,
    or all.
    """

    def __init__(
        self, *, port: int = 0, key: str | None = None, rule: Rule | None = None, strict: Strictness | None = None
    ) -> None:
        self.script: deque[Step] = deque()
        self.rule = rule
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self.refused: list[str] = []
        self.unknown_requests: list[str] = []
        self.connection_count = 0
        self.abandoned_streams = 0
        self._port = port
        self._key = key
        self._strict = strict
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._allowance: int | None = None
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        """The base URL for the client."""
        return f"http://127.0.0.1:{self._port}/v1"

    def play(self, *steps: Step) -> None:
        """Append steps to the script."""
        self.script.extend(steps)

    def pause(self) -> None:
        """Pause all streams before their next piece of content."""
        self._allowance = 0

    def release(self, pieces: int | None = None) -> None:
        """Let this many more pieces of content pass, over all streams; without a number, all of them."""
        self._allowance = None if pieces is None else (self._allowance or 0) + pieces
        self._released.set()
        self._released = asyncio.Event()

    async def _wait_for_release(self) -> None:
        while self._allowance == 0:
            await self._released.wait()
        if self._allowance is not None:
            self._allowance -= 1

    async def listen(self) -> None:
        """Accept connections; after `refuse`, on the same port again."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Stop accepting connections and close the open ones."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def __aenter__(self) -> "ModelServer":
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    async def serve_forever(self) -> None:
        """Serve until cancelled."""
        assert self._server is not None
        await self._server.serve_forever()

    # -- a connection

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connection_count += 1
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        connection = Connection(reader, writer)
        try:
            while (raw := await connection.request()) is not None:
                await self._serve(raw, connection)
        except ConnectionError:
            self.abandoned_streams += 1
        except asyncio.CancelledError:
            pass  # the server is closing; asyncio would report the task otherwise
        finally:
            await connection.close()

    async def _serve(self, raw: RawRequest, connection: Connection) -> None:
        api = PATHS.get(raw.path)
        if api is None or raw.method != "POST":
            self.unknown_requests.append(f"{raw.method} {raw.path}")
            await connection.answer_json(404, error_body("Not found.", kind="invalid_request_error", code=None))
            return
        sent_key = raw.headers.get("authorization", "").removeprefix("Bearer ")
        if self._key is not None and sent_key != self._key:
            # Some endpoints repeat the key in the error, so this one does too.
            error = error_body(f"Incorrect API key provided: {sent_key}.", kind="auth", code="invalid_api_key")
            await connection.answer_json(401, error)
            return
        request = Request(api, json.loads(raw.body), raw.headers)
        self.requests.append(request)
        await self._answer(request, await self._step(request), connection)

    async def _step(self, request: Request) -> Step:
        if self._strict is not None and (refusal := self._strict.refusal(request)):
            self.refused.append(refusal)
            return HttpError(400, refusal)
        problems = request.problems()
        if not problems and self.script:
            return self.script.popleft()
        if not problems and self.rule is not None:
            return await self.rule(request)
        problems = problems or [f"unexpected request: {request.last_user_text!r}"]
        self.problems += problems
        return HttpError(400, "; ".join(problems))

    async def _answer(self, request: Request, step: Step, connection: Connection) -> None:
        if isinstance(step, AbortedConnection):
            connection.cut()
        elif isinstance(step, HtmlPage):
            await connection.answer(200, step.html.encode(), {"content-type": "text/html; charset=utf-8"})
        elif isinstance(step, HttpError):
            kind = "server_error" if step.status >= 500 else "invalid_request_error"
            body = error_body(step.message, kind=kind, code=step.code)
            await connection.answer_json(step.status, body, step.headers)
        elif isinstance(step, Raw):
            await _raw(step, connection)
        elif request.stream:
            await _stream(request, step, connection, self._wait_for_release)
        else:
            await _whole(request, step, connection)


def encoder_for(request: Request, answer: Answer) -> ResponsesWire | CompletionsWire:
    """Return an answer in the format of its request."""
    return ResponsesWire(request, answer) if request.api == "responses" else CompletionsWire(request, answer)


async def _raw(step: Raw, connection: Connection) -> None:
    await connection.begin_stream(step.status, {"content-type": step.content_type, **step.headers})
    for piece in step.pieces:
        await connection.send(piece)
    if step.is_endless:
        await connection.pause(None)
    with suppress(ConnectionError):  # the client may close the connection before the end
        await connection.end_stream()


async def _whole(request: Request, answer: Answer, connection: Connection) -> None:
    if answer.fault in ("stall", "ping"):
        await connection.pause(None)
    elif answer.fault in ("cut", "end"):
        connection.cut()
    elif answer.fault == "malformed":
        await connection.answer(200, b'{"id": "resp')
    else:
        await connection.answer(200, encoder_for(request, answer).whole())


async def _stream(
    request: Request, answer: Answer, connection: Connection, wait_for_release: Callable[[], Awaitable[None]]
) -> None:
    format_ = encoder_for(request, answer)
    remaining = answer.after
    await connection.begin_stream()
    for piece in format_.pieces():
        if answer.fault is not None and (piece.kind == "closing" or (piece.kind == "content" and remaining == 0)):
            await _break_off(format_, answer.fault, connection)
            return
        remaining -= piece.kind == "content"
        if piece.delay:
            await connection.pause(piece.delay)
        if piece.kind == "content":
            await wait_for_release()
        await connection.send(piece.data)
    await connection.end_stream()


async def _break_off(format_: ResponsesWire | CompletionsWire, fault: str, connection: Connection) -> None:
    if fault == "cut":
        connection.cut()
        return
    if fault == "stall":
        await connection.pause(None)
    elif fault == "ping":
        while True:
            await connection.pause(0.05)
            await connection.send(b": still here\n\n")
    elif fault == "malformed":
        await connection.send(BROKEN_EVENT)
    elif fault != "end":
        for piece in format_.failure(fault):
            await connection.send(piece.data)
    with suppress(ConnectionError):  # the client may close the connection before the end
        await connection.end_stream()
