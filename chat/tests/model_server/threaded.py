"""The model's endpoint for tests without an event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from chat.tests.model_server.request import Request
from chat.tests.model_server.script import Rule, Step
from chat.tests.model_server.server import ModelServer

T = TypeVar("T")

TIMEOUT = 10.0


class ThreadedModelServer:
    """A `ModelServer` in a thread with its own event loop; a context manager."""

    def __init__(self, *, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model", daemon=True)

    def __enter__(self) -> "ThreadedModelServer":
        self._thread.start()
        self._server: ModelServer = self._run(lambda: ModelServer(port=self._port))
        asyncio.run_coroutine_threadsafe(self._server.listen(), self._loop).result(TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.refuse(), self._loop).result(TIMEOUT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT)
        self._loop.close()

    @property
    def url(self) -> str:
        """The base URL for the client."""
        return self._server.url

    @property
    def requests(self) -> list[Request]:
        """The requests received so far."""
        return self._server.requests

    def always(self, step: Step) -> None:
        """Answer every request with the same step."""

        async def rule(request: Request) -> Step:
            return step

        self._run(lambda: self._set_rule(rule))

    def pause(self) -> None:
        """Pause all streams before their next piece of content."""
        self._run(self._server.pause)

    def release(self, pieces: int | None = None) -> None:
        """Let this many more pieces of content pass; without a number, all of them."""
        self._run(lambda: self._server.release(pieces))

    def _set_rule(self, rule: Rule) -> None:
        self._server.rule = rule

    def _run(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(TIMEOUT)
