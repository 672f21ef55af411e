"""The model's endpoint for tests that have no event loop of their own."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from chat.tests.model_server.request import Request
from chat.tests.model_server.script import Rule, Step
from chat.tests.model_server.server import ModelServer

T = TypeVar("T")

SECONDS = 10.0


class ThreadedModelServer:
    """A `ModelServer` in a thread with a loop of its own; `with` it."""

    def __init__(self, *, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model", daemon=True)

    def __enter__(self) -> "ThreadedModelServer":
        self._thread.start()
        self._server: ModelServer = self._do(lambda: ModelServer(port=self._port))
        asyncio.run_coroutine_threadsafe(self._server.listen(), self._loop).result(SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.refuse(), self._loop).result(SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    @property
    def url(self) -> str:
        """The base URL for the client."""
        return self._server.url

    @property
    def requests(self) -> list[Request]:
        """What was asked so far."""
        return self._server.requests

    def always(self, step: Step) -> None:
        """Answer whatever is asked with one step."""

        async def rule(request: Request) -> Step:
            return step

        self._do(lambda: self._use(rule))

    def hold(self) -> None:
        """Let no more words go."""
        self._do(self._server.hold)

    def release(self, words: int | None = None) -> None:
        """Let so many more words go; without a number all there will be."""
        self._do(lambda: self._server.release(words))

    def _use(self, rule: Rule) -> None:
        self._server.rule = rule

    def _do(self, work: Callable[[], T]) -> T:
        async def done() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(SECONDS)
