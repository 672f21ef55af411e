"""The web process: daphne with an orderly start and shutdown.

    python -m config.runtime.asgi_server [--host 127.0.0.1] [--port 8000] [--parent PID] [--fd N] [--probe PATH]

Turns run in this process: it adopts them before it listens, and waits a few seconds for them at shutdown.
"""

import argparse
import asyncio
import errno
import logging
import os
import resource
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import daphne.server
import django
from twisted.internet import defer, reactor

from config.exceptions import CannotStart
from config.logging import capture_uncaught
from config.runtime.database import PoolGauge, database_responds
from config.runtime.gc_freeze import freeze
from config.runtime.http_limits import Factory
from config.runtime.watchdog import EXIT_CODE, Gauge, Watchdog
from config.runtime.websocket import BoundedWebSocket

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
# Seconds for which a client may read nothing.
READ_TIMEOUT = 60.0
CLOSE_SECONDS = 1.0
# Seconds for threads that are still busy: in an orderly shutdown, and in one that was requested twice.
EXIT_TIMEOUT, FORCED_EXIT_TIMEOUT = 5.0, 0.5
SERVICE_RESTART = 1012
# The connection pool is for this process only: a pool in a worker that forks deadlocks.
POOL_SIZE = "16"
BACKLOG = 1024

Drain = Callable[[float], Coroutine[Any, Any, None]]


class Backpressure:
    """Whether a client reads what it is sent; twisted calls `pauseProducing` and `resumeProducing`."""

    def __init__(self) -> None:
        self._writable = asyncio.Event()
        self._writable.set()

    def pauseProducing(self) -> None:
        """Wait from now on: the write buffer is full."""
        self._writable.clear()

    def resumeProducing(self) -> None:
        """Stop waiting: the write buffer is empty."""
        self._writable.set()

    stopProducing = resumeProducing  # the reader is gone, and so is what it would be sent

    async def wait_until_writable(self) -> None:
        """Wait until the client reads; raise TimeoutError if that takes too long."""
        async with asyncio.timeout(READ_TIMEOUT):
            await self._writable.wait()


class Server(daphne.server.Server):  # type: ignore[misc]
    """Daphne on a bound socket, with an orderly shutdown."""

    def __init__(
        self,
        application: Any,
        listener: socket.socket,
        *,
        loop: asyncio.AbstractEventLoop,
        drain: Drain,
        probe: str | None = None,
    ) -> None:
        super().__init__(
            application,
            endpoints=["the listener"],
            signal_handlers=False,
            ready_callable=self._listen,
            # A socket may stay open as long as its page.
            websocket_timeout=-1,
            server_name="threadkeeper",
        )
        self.endpoints: list[str] = []
        self._listener = listener
        self._loop = loop
        self._drain = drain
        self._probe = probe
        self._port: Any = None
        self._stopping: asyncio.Task[None] | None = None
        self.is_forced = False
        self.exit_code = 0

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Send a message of an application; the next part of a long response only once the client has read this one."""
        details = self.connections.get(protocol)
        if message["type"] == "websocket.send":
            if details is not None and "disconnected" not in details:
                await protocol.deliver(message)
            return
        is_body = message["type"] == "http.response.body" and details is not None and protocol.channel is not None
        if not is_body:
            await super().handle_reply(protocol, message)
            return
        backpressure = details.get("backpressure")
        if not message.get("more_body", False):
            if backpressure is not None:
                protocol.unregisterProducer()
            await super().handle_reply(protocol, message)
            return
        if backpressure is None:
            backpressure = details["backpressure"] = Backpressure()
            protocol.registerProducer(backpressure, True)
        await super().handle_reply(protocol, message)
        try:
            await backpressure.wait_until_writable()
        except TimeoutError:
            self._abort(protocol)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Start the application of a connection; a websocket's application receives from a bounded inbox."""
        if not isinstance(protocol, BoundedWebSocket):
            return super().create_application(protocol, scope)
        scope.setdefault("asgi", {"version": "3.0"})
        send = partial(self.handle_reply, protocol)
        application = self.application(scope=scope, receive=protocol.inbox.get, send=send)
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(application)
        return protocol.inbox

    @staticmethod
    def _abort(protocol: Any) -> None:
        """Close the connection of a client that does not read."""
        if protocol.channel is not None:
            protocol.channel.transport.abortConnection()

    def _listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.shut_down)
        self.ws_factory.protocol = BoundedWebSocket
        # A client that sends too much gets a close code instead of a broken connection. The application refuses
        # origins, "null" among them.
        self.ws_factory.setProtocolOptions(failByDrop=False, allowNullOrigin=True)
        self._listener.setblocking(False)
        self.http_factory = Factory(self)
        self._port = reactor.adoptStreamPort(self._listener.fileno(), self._listener.family, self.http_factory)
        self._listener.close()
        if self._probe:
            Path(self._probe).unlink(missing_ok=True)  # of a process that was killed
            reactor.listenUNIX(self._probe, self.http_factory, mode=0o600, wantPID=False)

    def fail(self) -> None:
        """Stop in an orderly way, with an exit code that indicates a failure."""
        self.exit_code = EXIT_CODE
        if not self._stopping:
            self.shut_down()

    def shut_down(self) -> None:
        """Stop in an orderly way; at the second request, immediately."""
        if self._stopping:
            self.is_forced = True
            self.stop()
        else:
            self._stopping = self._loop.create_task(self._shut_down())

    async def _shut_down(self) -> None:
        self._port.stopListening()
        try:
            try:
                async with asyncio.timeout(DRAIN_SECONDS + EXIT_TIMEOUT):
                    await self._drain(DRAIN_SECONDS)
            except TimeoutError:
                logger.error("Not everything has ended; the server stops, and another process continues its turns.")
            await self._close_connections()
        finally:
            self.stop()

    async def _close_connections(self) -> None:
        """Announce the restart to every page, and wait for responses to finish."""
        for protocol in self._open_sockets():
            protocol.sendCloseFrame(code=SERVICE_RESTART)
        deadline = self._loop.time() + CLOSE_SECONDS
        while self._loop.time() < deadline and any(map(_is_busy, self.connections.items())):
            await asyncio.sleep(0.02)

    def _open_sockets(self) -> list[Any]:
        return [one for one in self.connections if _is_socket(one) and one.state == one.STATE_OPEN]

    def application_checker(self) -> None:
        """Find applications that have ended. Errors are caught, since daphne would stop this check and run on."""
        try:
            super().application_checker()
        except Exception:
            logger.exception("A connection could not be closed.")
            reactor.callLater(1, self.application_checker)

    def timeout_checker(self) -> None:
        """Find websockets to ping."""
        try:
            super().timeout_checker()
        except Exception:
            logger.exception("A websocket could not be pinged.")
            reactor.callLater(2, self.timeout_checker)

    def kill_all_applications(self) -> "defer.Deferred[Any]":
        """Cancel what still runs; skip connections that have no application yet."""
        each = self.connections.values()
        running = [details["application_instance"] for details in each if "application_instance" in details]
        for application in running:
            application.cancel()
        ended = asyncio.gather(*running, return_exceptions=True)
        return defer.Deferred.fromFuture(ended)


def _is_busy(connection: tuple[Any, dict[str, Any]]) -> bool:
    """Return whether a socket is open or a response is incomplete."""
    protocol, details = connection
    return "disconnected" not in details and (_is_socket(protocol) or "application_instance" in details)


def _is_socket(protocol: Any) -> bool:
    return getattr(protocol, "application_type", "") == "websocket"


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound and does not listen yet. Raise CannotStart."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # For all connections: closes those whose client reads nothing, also after the last byte was written.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(READ_TIMEOUT * 1000))
        listener.bind(address)
    except (OSError, OverflowError) as error:
        if listener:
            listener.close()
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: Exception) -> CannotStart:
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return CannotStart(f"Port {port} on {host} is in use: choose another with --port.")
    return CannotStart(f"Cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}.")


async def _watch_parent(parent: int, shut_down: Callable[[], None]) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(1)
    logger.warning("The process that started the server has ended; the server stops.")
    shut_down()


def serve(
    host: str, port: int, *, parent: int | None = None, fd: int | None = None, probe: str | None = None
) -> Server:
    """Serve requests until a signal or until the parent exits; return the stopped server.

    Raise CannotStart.
    """
    listener = bind(host, port) if fd is None else socket.socket(fileno=fd)
    _set_up()
    _refuse_newer_database()
    loop = daphne.server.twisted_loop
    asyncio.set_event_loop(loop)
    gauges = _create_thread_pools(loop)
    server = _create_server(listener, loop, _drain, probe)
    freeze()
    _resume_and_listen(_start, listener, loop, (host, port))
    watch = loop.create_task(_watch_parent(parent, server.shut_down)) if parent else None
    Watchdog(loop, gauges, end=server.fail, database_responds=database_responds).start()
    server.run()
    if watch:
        watch.cancel()
    _close_database()
    return server


def _set_up() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("DATABASE_POOL_SIZE", POOL_SIZE)
    django.setup(set_prefix=False)
    capture_uncaught()
    # Static files are read synchronously, which is intended.
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
    # Static files that are not collected are served from the apps' folders.
    warnings.filterwarnings("ignore", message="No directory at")
    # Each connection needs a descriptor, and many systems allow 1,024 by default.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _refuse_newer_database() -> None:
    from config.versions import refuse_newer_database

    refuse_newer_database()


def _create_thread_pools(loop: asyncio.AbstractEventLoop) -> list[Gauge]:
    """Run database code in threads that return their connections; return the gauges for the watchdog."""
    from django.conf import settings

    from chat.infra.db_threads import threads
    from chat.infra.thread_pool import DatabaseThreads, use_for_async_code

    requests = DatabaseThreads(settings.REQUEST_THREADS, "request")
    use_for_async_code(requests)
    loop.set_default_executor(DatabaseThreads(settings.OTHER_THREADS, "other"))
    return [requests, threads(), PoolGauge()]


def _close_database() -> None:
    from django.db import connections

    for connection in connections.all():
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]


async def _start() -> None:
    """Start what runs with the server: daphne sends no lifespan events."""
    from chat.mcp import service
    from chat.turns import process

    await process.start()
    await service.start()


async def _drain(seconds: float) -> None:
    from chat.api.streams import end_all
    from chat.mcp import service
    from chat.turns import process

    await asyncio.gather(process.drain(seconds), service.stop(seconds))
    end_all()


def _create_server(listener: socket.socket, loop: asyncio.AbstractEventLoop, drain: Drain, probe: str | None) -> Server:
    from config.asgi import application

    return Server(application, listener, loop=loop, drain=drain, probe=probe)


def _resume_and_listen(
    start: Callable[[], Coroutine[Any, Any, None]],
    listener: socket.socket,
    loop: asyncio.AbstractEventLoop,
    address: tuple[str, int],
) -> None:
    """Resume interrupted turns, then listen."""
    from django.db import DatabaseError

    from chat.exceptions import BadExtraTools

    try:
        loop.run_until_complete(start())
    except BadExtraTools as error:
        raise CannotStart(error.detail) from error
    except (DatabaseError, ConnectionError) as error:
        reason = " ".join(str(error).split())
        raise CannotStart(f"The database cannot be used: {reason}") from error
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _cannot_listen(*address, error) from error
    logger.info("Listening on http://%s:%d", *listener.getsockname()[:2])


def main() -> None:
    """Run the server with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m config.runtime.asgi_server", description="Serve the chat.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--parent", type=int, help="the pid of the process that started the server; stop when it ends")
    parser.add_argument("--fd", type=int, help="the descriptor of an inherited socket that is bound to the address")
    parser.add_argument("--probe", help="the path of a Unix socket on which this process alone answers")
    server = serve(**vars(parser.parse_args()))
    # A thread that still waits must not keep the process alive.
    seconds = FORCED_EXIT_TIMEOUT if server.is_forced else EXIT_TIMEOUT
    last = threading.Timer(seconds, os._exit, [server.exit_code])
    last.daemon = True
    last.start()
    sys.exit(server.exit_code)


if __name__ == "__main__":
    main()
