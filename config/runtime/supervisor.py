"""Starts, watches and stops all processes of a Threadkeeper installation."""

import http.client
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil
import psycopg
from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connections
from prometheus_client.multiprocess import mark_process_dead

from config.checks import TAG
from config.exceptions import CannotStart
from config.runtime import embedded_postgres
from config.runtime.asgi_server import bind
from config.runtime.bootstrap import FirstAdmin, prepare
from config.runtime.probe import Probe, ProbeTimings
from config.runtime.processes import spawn
from config.runtime.single_instance import MARK, SingleInstance
from config.runtime.stop_request import StopRequest
from config.static_files import collect
from sessions_admin.heartbeat import workers

PrintLine = Callable[[str], None]

START_TIMEOUT = 60.0
RESPONSE_TIMEOUT = 5.0
# Each server has some forty connections to the database.
MAX_SERVERS, MOST_EMBEDDED = 64, 4
SERVER_TIMINGS = ProbeTimings(interval=2, timeout=20, start_timeout=START_TIMEOUT)
WORKER_TIMINGS = ProbeTimings(interval=10, timeout=40, start_timeout=120)
# A server drains for five seconds, and a worker may be in the middle of a task; the work of both can be resumed after a
# kill.
STOP_TIMEOUT = 12.0
# The niceness of the worker, compared with the server's: no user waits for it.
WORKER_NICENESS = 10
# A service that ends repeatedly is started after a growing delay, until it has run for a while.
MAX_DELAY, STABLE_SECONDS = 60.0, 120.0


@dataclass
class Service:
    """A child process that is restarted when it ends, with a growing delay."""

    name: str
    command: list[str]
    env: dict[str, str]
    niceness: int = 0
    pass_fds: tuple[int, ...] = ()
    probe: Probe | None = None
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    starts_at: float | None = None
    failures: int = 0

    def start(self) -> None:
        """Start the process."""
        self.started_at, self.starts_at = time.monotonic(), None
        self.process = spawn(self.command, env=self.env, cwd=settings.BASE_DIR, pass_fds=self.pass_fds)
        if self.probe:
            self.probe.reset()
        if self.niceness:
            psutil.Process(self.process.pid).nice(self.niceness)

    def has_ended(self) -> bool:
        """Return whether it has ended, without reaping it."""
        if self.process is None:
            return False
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def terminate(self) -> None:
        """Send SIGTERM."""
        if self.process and not self.has_ended():
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> int:
        """Kill what is left of it, including its children, and return its exit code."""
        assert self.process
        # Until it is reaped, its pid and its group's number are not reused.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        if folder := self.env.get("PROMETHEUS_MULTIPROC_DIR"):
            mark_process_dead(self.process.pid, folder)  # type: ignore[no-untyped-call]
        self.process = None
        return code

    def restart_later(self, now: float) -> float:
        """Count an unexpected end, and return the seconds until the restart."""
        self.failures = self.failures + 1 if now - self.started_at < STABLE_SECONDS else 1
        delay = min(2.0 ** min(self.failures - 1, 6) - 1, MAX_DELAY)
        self.starts_at = now + delay
        return delay


class Supervisor:
    """One `up`: `run` returns after a request to stop, when all its processes have ended."""

    def __init__(self, *, host: str, port: int, servers: int, worker: bool, print_line: PrintLine) -> None:
        self.host = host
        self.port = port
        self.servers = servers
        self.worker = worker
        self.print_line = print_line
        self._stop = StopRequest()
        self._database: embedded_postgres.EmbeddedPostgres | None = None
        self._database_failures, self._database_starts_at = 0, 0.0
        self._services: list[Service] = []

    def run(self) -> None:
        """Start everything, keep it running, and stop it at a signal. Raise CannotStart."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle_signal)
        instance = SingleInstance(settings.DATA_DIR)
        try:
            self._check()
            # Short: the path of a Unix socket has at most 107 bytes. The servers remove their sockets when they stop.
            with tempfile.TemporaryDirectory(prefix="threadkeeper-") as probes:
                self._serve(instance.mark, Path(probes))
        except embedded_postgres.EmbeddedPostgresError as error:
            raise CannotStart(str(error)) from error
        finally:
            instance.release()

    def _serve(self, mark: str, probes: Path) -> None:
        try:
            # Before anything is written, and after the last server has surely ended.
            with bind(self.host, self.port) as listener:
                self._close_data_folder()
                self._start(mark, listener, probes)
                self._watch()
        finally:
            self._stop_all()

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        # Ctrl-C arrives twice, from the terminal and from `uv`: the second one has no effect.
        self._stop.make()

    # Start.

    def _start(self, mark: str, listener: socket.socket, probes: Path) -> None:
        # While the database starts, which takes as long.
        collecting = threading.Thread(target=collect, name="static files", daemon=True)
        collecting.start()
        url = settings.DATABASE_URL or self._start_database()
        admin = self._prepare()
        collecting.join()
        env = {**os.environ, MARK: mark, "DATABASE_URL": url, **_metrics_folder()}
        if self._stop.is_made:
            return
        for n in range(1, self.servers + 1):
            self._start_server(n, env, listener, probes)
        if self.worker:
            self._start_worker(env)
        # Importing takes as long as the start of the server.
        from chat.assistant.configured import describe

        self._await_servers()
        if not self._stop.is_made:
            self._print_summary(describe(), admin)

    def _check(self) -> None:
        if not 1 <= self.servers <= MAX_SERVERS:
            raise CannotStart(f"--servers must be a number from 1 to {MAX_SERVERS}.")
        if self.servers > 1 and not settings.REDIS_URL:
            raise CannotStart("Several servers need REDIS_URL, through which they share what happens at the moment.")
        if self.servers > MOST_EMBEDDED and not settings.DATABASE_URL:
            raise CannotStart(f"More than {MOST_EMBEDDED} servers need a PostgreSQL of your own: set DATABASE_URL.")
        for found in checks.run_checks(tags=[TAG]):
            message = f"{found.msg} {found.hint}"
            if found.is_serious():
                raise CannotStart(message)
            self.print_line(message)

    def _start_database(self) -> str:
        self._database = embedded_postgres.start(settings.EMBEDDED_POSTGRES_DIR, join=False)
        return self._database.url

    def _prepare(self) -> FirstAdmin | None:
        if settings.DATABASE_URL:
            _check_connection(settings.DATABASE_URL)
        try:
            return prepare()
        finally:
            connections.close_all()

    def _start_server(self, n: int, env: dict[str, str], listener: socket.socket, probes: Path) -> None:
        probe, fd = probes / str(n), listener.fileno()
        address = ["--host", self.host, "--port", str(self.port), "--fd", str(fd)]
        own = ["--probe", str(probe), "--parent", str(os.getpid())]
        command = [sys.executable, "-m", "config.runtime.asgi_server", *address, *own]
        name = "server" if self.servers == 1 else f"server {n}"
        self._start_service(Service(name, command, env, pass_fds=(fd,)), lambda: _responds(probe), SERVER_TIMINGS)

    def _start_worker(self, env: dict[str, str]) -> None:
        # The worker forks, which a connection pool does not survive. The checks have run already.
        qcluster = [str(settings.BASE_DIR / "manage.py"), "qcluster", "--skip-checks"]
        worker = Service("worker", [sys.executable, *qcluster], {**env, "DATABASE_POOL_SIZE": "0"}, WORKER_NICENESS)
        self._start_service(worker, lambda: _has_heartbeat(worker), WORKER_TIMINGS)

    def _start_service(self, service: Service, check: Callable[[], bool | None], timings: ProbeTimings) -> None:
        service.probe = Probe(service.name, check, timings)
        service.start()
        service.probe.start()
        self._services.append(service)

    def _await_servers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        for server in self._services[: self.servers]:
            while not self._stop.is_made and not (server.probe and server.probe.check()):
                if server.has_ended() or time.monotonic() > deadline:
                    raise CannotStart("The server did not start.")
                self._stop.wait(0.05)

    def _print_summary(self, model: str, admin: FirstAdmin | None) -> None:
        self.print_line(
            f"Address   {settings.PUBLIC_URL or f'http://{_bracketed(_local_address(self.host))}:{self.port}'}/"
        )
        self.print_line(f"Model     {model}")
        if admin:
            self.print_line(f"Admin     {admin.email}")
            self.print_line(
                f"Password  {admin.password}   (shown this once)" if admin.password else "Password  ADMIN_PASSWORD"
            )
        self.print_line("Ctrl-C stops it.")

    def _close_data_folder(self) -> None:
        """Make the data folder private; the embedded server's own user may traverse it."""
        through = stat.S_IXGRP | stat.S_IXOTH if os.geteuid() == 0 and not settings.DATABASE_URL else 0
        mode = stat.S_IMODE(settings.DATA_DIR.stat().st_mode)
        with suppress(PermissionError):
            settings.DATA_DIR.chmod(mode & ~0o077 | through)

    # Watch.

    def _watch(self) -> None:
        parent = _parent_uv()
        while not self._stop.wait(0.2):
            self._check_database()
            for service in self._services:
                self._check_service(service)
            if parent and os.getppid() != parent:
                # A signal to `uv` is meant for its child.
                self._stop.make()

    def _check_database(self) -> None:
        database = self._database
        if not database or not database.process:
            return
        if database.process.poll() is None:
            database.rotate_log()
            return
        if time.monotonic() < self._database_starts_at:
            return
        if not self._database_failures:
            self.print_line("The database stopped; it is restarted.")
        try:
            self._start_database()
            self._database_failures = 0
        except (embedded_postgres.EmbeddedPostgresError, OSError) as error:  # for example, the disk is full
            delay = min(2.0**self._database_failures, MAX_DELAY)
            self._database_failures += 1
            self._database_starts_at = time.monotonic() + delay
            self.print_line(f"{str(error).rstrip('.')}. The next try is in {delay:.0f} s.")

    def _check_service(self, service: Service) -> None:
        """Restart a service that has ended, and kill one that does not work; never wait."""
        now = time.monotonic()
        if service.starts_at is not None:
            if now >= service.starts_at:
                service.start()
            return
        has_failed = service.probe is not None and service.probe.has_failed
        if has_failed:
            self.print_line(f"The {service.name} does not answer; it is killed.")
        if has_failed or service.has_ended():
            code = service.kill()
            delay = service.restart_later(now)
            again = f" in {delay:.0f} s" if delay else ""
            self.print_line(f"The {service.name} stopped ({_describe_exit(code)}); it is restarted{again}.")

    # Stop.

    def _stop_all(self) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT
        for service in self._services:
            if service.probe:
                service.probe.stop()
            service.terminate()
        for service in self._services:
            while service.process and not service.has_ended() and time.monotonic() < deadline:
                time.sleep(0.05)
            if service.process:
                service.kill()
        if self._database:
            self._database.stop()


def _responds(probe: Path) -> bool:
    """Return whether the server behind a Unix socket answers."""
    connection = http.client.HTTPConnection("localhost", timeout=RESPONSE_TIMEOUT)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(RESPONSE_TIMEOUT)
        connection.sock.connect(str(probe))
        connection.request("GET", "/healthz")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _metrics_folder() -> dict[str, str]:
    """Return the variable that names the folder in which the processes share their metrics; it begins empty."""
    if not settings.METRICS_TOKEN:
        return {}
    folder = settings.METRICS_DIR
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    return {"PROMETHEUS_MULTIPROC_DIR": str(folder)}


def _has_heartbeat(worker: Service) -> bool | None:
    """Return whether a worker has reported recently, or None if the database cannot be queried."""
    process = worker.process
    try:
        return process is not None and any(one.pid == process.pid and one.is_here and one.is_alive for one in workers())
    except DatabaseError:
        return None
    finally:
        connections.close_all()


def _check_connection(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise CannotStart(f"DATABASE_URL: the database cannot be reached: {reason}") from error


def _local_address(host: str) -> str:
    """Return the address, on this machine, of a server that listens on a host."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _describe_exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _parent_uv() -> int | None:
    """Return the pid of the `uv` that runs this process, or None."""
    with suppress(psutil.Error):
        parent = psutil.Process(os.getppid())
        if Path(parent.name()).stem == "uv":
            return parent.pid
    return None
