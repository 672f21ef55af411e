"""Everything that a running Threadkeeper consists of: started, watched, and stopped together."""

import http.client
import os
import shutil
import signal
import stat
import subprocess
import sys
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
from config.runtime.probe import Pace, Probe
from config.runtime.processes import spawn
from config.runtime.single_instance import MARK, SingleInstance
from config.static_files import collect
from sessions_admin.heartbeat import workers

Say = Callable[[str], None]

SECONDS_TO_SERVE = 60.0
SECONDS_TO_ANSWER = 5.0
SERVER_PACE = Pace(every=2, patience=20, to_start=SECONDS_TO_SERVE)
WORKER_PACE = Pace(every=10, patience=40, to_start=120)
# A server drains for five seconds, a worker may be in the middle of a task; both can go on after a kill.
SECONDS_TO_STOP = 12.0
# How much lower the worker's priority is than the server's: no user waits for it.
WORKER_NICENESS = 10
# A service that dies again and again is started after a delay that grows, until it has lived for a while.
LONGEST_DELAY, LIVED = 60.0, 120.0


@dataclass
class Service:
    """A child process that is started again when it dies, a little later each time."""

    name: str
    command: list[str]
    env: dict[str, str]
    niceness: int = 0
    probe: Probe | None = None
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    starts_at: float | None = None
    deaths: int = 0

    def start(self) -> None:
        """Start it."""
        self.started_at, self.starts_at = time.monotonic(), None
        self.process = spawn(self.command, env=self.env, cwd=settings.BASE_DIR)
        if self.probe:
            self.probe.restarted()
        if self.niceness:
            psutil.Process(self.process.pid).nice(self.niceness)

    def died(self) -> bool:
        """Return whether it has ended, without yet giving its pid back."""
        if self.process is None:
            return False
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def ask_to_stop(self) -> None:
        """Ask it to stop."""
        if self.process and not self.died():
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> int:
        """End what is left of it, its own children too, and return its exit code."""
        assert self.process
        # Its pid is not reused before it is waited for, nor is its group's number.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        if folder := self.env.get("PROMETHEUS_MULTIPROC_DIR"):
            mark_process_dead(self.process.pid, folder)  # type: ignore[no-untyped-call]
        self.process = None
        return code

    def restart_later(self, now: float) -> float:
        """Count an unexpected end, and return the seconds before the restart."""
        self.deaths = self.deaths + 1 if now - self.started_at < LIVED else 1
        delay = min(2.0 ** min(self.deaths - 1, 6) - 1, LONGEST_DELAY)
        self.starts_at = now + delay
        return delay


class Supervisor:
    """One `up`: `run` returns after a request to stop, when no process of it is left."""

    def __init__(self, *, host: str, port: int, worker: bool, say: Say) -> None:
        self.host = host
        self.port = port
        self.worker = worker
        self.say = say
        self._stop = threading.Event()
        self._database: embedded_postgres.EmbeddedPostgres | None = None
        self._services: list[Service] = []

    def run(self) -> None:
        """Start everything, keep it running, and stop it at a signal. Raise CannotStart."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._told_to_stop)
        only_one = SingleInstance(settings.DATA_DIR)
        try:
            self._check()
            # Before anything is written, and after the last server is surely gone.
            bind(self.host, self.port).close()
            self._close_data_folder()
            self._start(only_one.mark)
            self._watch()
        except embedded_postgres.EmbeddedPostgresError as error:
            raise CannotStart(str(error)) from error
        finally:
            self._end()
            only_one.release()

    def _told_to_stop(self, number: int, frame: FrameType | None) -> None:
        # A terminal's Ctrl-C comes twice, from the terminal and from `uv`: the second one changes nothing.
        self._stop.set()

    # The start.

    def _start(self, mark: str) -> None:
        # While the database starts, which takes as long.
        collecting = threading.Thread(target=collect, name="static files", daemon=True)
        collecting.start()
        url = settings.DATABASE_URL or self._start_database()
        admin = self._prepare()
        collecting.join()
        server, worker = self._children({**os.environ, MARK: mark, "DATABASE_URL": url, **_metrics_folder()})
        if self._stop.is_set():
            return
        self._begin(server, self._answers, SERVER_PACE)
        if self.worker:
            self._begin(worker, lambda: _reports(worker), WORKER_PACE)
        # It takes as long to load as the server takes to start.
        from chat.assistant.configured import describe

        self._await_server(server)
        if not self._stop.is_set():
            self._introduce(describe(), admin)

    def _check(self) -> None:
        for found in checks.run_checks(tags=[TAG]):
            told = f"{found.msg} {found.hint}"
            if found.is_serious():
                raise CannotStart(told)
            self.say(told)

    def _start_database(self) -> str:
        self._database = embedded_postgres.start(settings.EMBEDDED_POSTGRES_DIR, join=False)
        return self._database.url

    def _prepare(self) -> FirstAdmin | None:
        if settings.DATABASE_URL:
            _reach(settings.DATABASE_URL)
        try:
            return prepare()
        finally:
            connections.close_all()

    def _children(self, env: dict[str, str]) -> tuple[Service, Service]:
        address = ["--host", self.host, "--port", str(self.port), "--parent", str(os.getpid())]
        server = Service("server", [sys.executable, "-m", "config.runtime.asgi_server", *address], env)
        # A worker forks, and a pool of connections does not survive that. The checks were done here.
        qcluster = [str(settings.BASE_DIR / "manage.py"), "qcluster", "--skip-checks"]
        worker = Service("worker", [sys.executable, *qcluster], {**env, "DATABASE_POOL_SIZE": "0"}, WORKER_NICENESS)
        return server, worker

    def _begin(self, service: Service, ask: Callable[[], bool | None], pace: Pace) -> None:
        service.probe = Probe(service.name, ask, pace)
        service.start()
        service.probe.start()
        self._services.append(service)

    def _await_server(self, server: Service) -> None:
        deadline = time.monotonic() + SECONDS_TO_SERVE
        while not self._stop.is_set() and not self._answers():
            if server.died() or time.monotonic() > deadline:
                raise CannotStart("The server did not start.")
            self._stop.wait(0.05)

    def _answers(self) -> bool:
        asked = http.client.HTTPConnection(_reachable(self.host), self.port, timeout=SECONDS_TO_ANSWER)
        try:
            asked.request("GET", "/healthz")
            # Whatever the answer: it may refuse the name that is used here.
            asked.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()
        return True

    def _introduce(self, model: str, admin: FirstAdmin | None) -> None:
        self.say(f"Address   {settings.PUBLIC_URL or f'http://{_in_url(_reachable(self.host))}:{self.port}'}/")
        self.say(f"Model     {model}")
        if admin:
            self.say(f"Admin     {admin.email}")
            self.say(
                f"Password  {admin.password}   (shown this once)" if admin.password else "Password  ADMIN_PASSWORD"
            )
        self.say("Ctrl-C stops it.")

    def _close_data_folder(self) -> None:
        """Keep others out of the data folder; the embedded server's own user may pass through."""
        through = stat.S_IXGRP | stat.S_IXOTH if os.geteuid() == 0 and not settings.DATABASE_URL else 0
        mode = stat.S_IMODE(settings.DATA_DIR.stat().st_mode)
        with suppress(PermissionError):
            settings.DATA_DIR.chmod(mode & ~0o077 | through)

    # The watch.

    def _watch(self) -> None:
        parent = _uv_above()
        while not self._stop.wait(0.2):
            self._tend_database()
            for service in self._services:
                self._tend(service)
            if parent and os.getppid() != parent:
                # A signal to `uv` is meant for what it runs.
                self._stop.set()

    def _tend_database(self) -> None:
        database = self._database
        if not database or not database.process:
            return
        if database.process.poll() is None:
            database.rotate_log()
            return
        self.say("The database stopped; it is started again.")
        self._start_database()

    def _tend(self, service: Service) -> None:
        """Start a service again if it has ended, and end it if it does not work; never wait."""
        now = time.monotonic()
        if service.starts_at is not None:
            if now >= service.starts_at:
                service.start()
            return
        has_failed = service.probe is not None and service.probe.has_failed
        if has_failed:
            self.say(f"The {service.name} does not answer; it is ended.")
        if has_failed or service.died():
            code = service.kill()
            delay = service.restart_later(now)
            again = f" in {delay:.0f} s" if delay else ""
            self.say(f"The {service.name} stopped ({_described(code)}); it is started again{again}.")

    # The end.

    def _end(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_STOP
        for service in self._services:
            if service.probe:
                service.probe.stop()
            service.ask_to_stop()
        for service in self._services:
            while service.process and not service.died() and time.monotonic() < deadline:
                time.sleep(0.05)
            if service.process:
                service.kill()
        if self._database:
            self._database.stop()


def _metrics_folder() -> dict[str, str]:
    """Return the variable that names the folder in which the processes share their metrics; it begins empty."""
    if not settings.METRICS_TOKEN:
        return {}
    folder = settings.DATA_DIR / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return {"PROMETHEUS_MULTIPROC_DIR": str(folder)}


def _reports(worker: Service) -> bool | None:
    """Return whether a worker reports, as it does every few seconds, or None where the database cannot be asked."""
    process = worker.process
    try:
        return process is not None and any(one.pid == process.pid and one.is_here and one.is_alive for one in workers())
    except DatabaseError:
        return None
    finally:
        connections.close_all()


def _reach(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise CannotStart(f"DATABASE_URL: the database cannot be reached: {reason}") from error


def _reachable(host: str) -> str:
    """Return where a server that listens on a host is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _described(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _uv_above() -> int | None:
    """Return the pid of the `uv` that runs this process, if one does."""
    with suppress(psutil.Error):
        parent = psutil.Process(os.getppid())
        if Path(parent.name()).stem == "uv":
            return parent.pid
    return None
