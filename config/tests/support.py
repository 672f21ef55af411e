"""Real servers for tests: separate processes with a real database, which tests may kill."""

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import httpx
import psutil
import psycopg
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.sessions.backends.db import SessionStore
from django.test import override_settings
from django.utils.crypto import get_random_string
from psycopg import sql

from config.runtime.processes import spawn
from config.secret_key import load_or_create_secret_key
from config.tests.forked import Forked
from config.tests.postgres_plugin import RUN_ID

ROOT = Path(__file__).resolve().parent.parent.parent
# The variables that a child process inherits: those it needs to run, and no settings of the project.
INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "VIRTUAL_ENV",
    "PYTHONPYCACHEPREFIX",
)
SECONDS = 30.0
PASSWORD = "correct horse battery"


def eventually(condition: Callable[[], Any], *, within: float = SECONDS, what: str = "it") -> Any:
    """Call a function until it returns a true value and return that value, or fail after some seconds."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {within} s"
        time.sleep(0.02)
    return value


def free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a child process, without the developer's settings."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        **inherited,
        "ENV_FILE": os.devnull,
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        **variables,
    }


def run(*words: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python command line of the project to its end, with these variables and no others."""
    command, env = list(map(str, words)), clean_environment(**variables)
    if command[0] not in ("-m", "manage.py"):
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    module, *rest = ["manage", *command[1:]] if command[0] == "manage.py" else command[1:]
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        code = Forked(module, *rest, env=env, cwd=ROOT, output=output, errors=errors).wait(120)
        return subprocess.CompletedProcess(command, code, output.read_text(), errors.read_text())


# Databases.


@functools.cache
def _hashed(password: str) -> str:
    """Return a password's hash as sign-up makes it, which takes half a second.

    The first sign-in would replace any other hash, and end the login sessions.
    """
    hasher = PBKDF2PasswordHasher()
    return hasher.encode(password, hasher.salt())


@dataclass(frozen=True)
class LiveDatabase:
    """A migrated database that real processes use; its changes are not rolled back."""

    url: str

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement outside of the test's transaction and return its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def add_user(self, email: str, password: str = PASSWORD, *, staff: bool = False) -> uuid.UUID:
        """Create a user who can sign in."""
        user_id = uuid.uuid4()
        self.query(
            "INSERT INTO chat_user (id, email, password, time_zone, is_active, is_staff, is_superuser, created_at)"
            " VALUES (%s, %s, %s, 'UTC', true, %s, %s, now())",
            user_id,
            email,
            _hashed(password),
            staff,
            staff,
        )
        return user_id

    def log_in(self, email: str, data_dir: Path) -> dict[str, str]:
        """Create a login session without the cost of a password's hash; return the cookies of a browser.

        The data folder is that of the server, since it has the secret key.
        """
        from chat.models import User

        [(user_id, password)] = self.query("SELECT id, password FROM chat_user WHERE email = %s", email)
        with override_settings(SECRET_KEY=load_or_create_secret_key(data_dir)):
            data = SessionStore().encode(
                {
                    SESSION_KEY: str(user_id),
                    BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[-1],
                    HASH_SESSION_KEY: User(pk=user_id, password=password).get_session_auth_hash(),
                }
            )
        key = get_random_string(32, "abcdefghijklmnopqrstuvwxyz0123456789")
        self.query(
            "INSERT INTO django_session (session_key, session_data, expire_date)"
            " VALUES (%s, %s, now() + interval '14 days')",
            key,
            data,
        )
        return {"sessionid": key, "csrftoken": get_random_string(32)}


def with_name(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextlib.contextmanager
def database(server_url: str, *, template: str | None = None) -> Iterator[tuple[str, str]]:
    """Create a temporary database; yield its name and URL."""
    name = f"live_{uuid.uuid4().hex[:12]}"
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template:
        create += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(create)
        try:
            yield name, with_name(server_url, name)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def create_tables(url: str, data_dir: Path) -> None:
    """Create the tables of a database, as `up` does."""
    completed = run("-m", "config.runtime.bootstrap", DATABASE_URL=url, DATA_DIR=str(data_dir), ADMIN_PASSWORD=PASSWORD)
    assert completed.returncode == 0, completed.stderr


def template(name: str, make: Callable[[str], None], *, source: str | None = None) -> str:
    """Return the name of a template database, which the first process of a test run that needs it creates.

    Copying it is faster than migrating: migrations take longer than most tests.
    """
    server_url, name = os.environ["DATABASE_URL"], f"{name}_{os.environ[RUN_ID]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
            admin.execute(create + (sql.SQL(" TEMPLATE {}").format(sql.Identifier(source)) if source else sql.SQL("")))
            make(with_name(server_url, name))
    return name


# Processes.


class ServerProcess:
    """A real server process of `config.runtime.asgi_server` or another module, on a free port, ready for requests."""

    def __init__(
        self, database: LiveDatabase, data_dir: Path, *, program: str = "config.runtime.asgi_server", **variables: str
    ) -> None:
        self.database = database
        self.program = program
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self.log = data_dir / f"server-{self.port}.log"
        self.variables = {"DATABASE_URL": database.url, "DATA_DIR": str(data_dir), **variables}
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill9()

    def launch(self) -> None:
        """Start the process without waiting until it responds."""
        env = clean_environment(**self.variables)
        self.process = Forked(self.program, "--port", str(self.port), env=env, cwd=ROOT, output=self.log)

    def _start(self) -> None:
        self.launch()
        try:
            eventually(self._answers, what=f"the server on port {self.port}")
        except BaseException:
            self.kill9()
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the server exited:\n{self.output}"
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def output(self) -> str:
        """The output of the server so far."""
        return self.log.read_text()

    def kill9(self) -> None:
        """Send SIGKILL to the server."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)

    def terminate(self) -> int:
        """Send SIGTERM to the server, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def restart(self, *, program: str = "config.runtime.asgi_server", **variables: str) -> None:
        """Stop the server if it runs, and start it on the same port."""
        self.terminate()
        self.program = program
        self.variables |= variables
        self._start()

    def client(self, email: str, password: str | None = None) -> httpx.Client:
        """Return a browser that is signed in, through the sign-in page if a password is given."""
        browser = httpx.Client(base_url=self.url, follow_redirects=True, timeout=SECONDS)
        if password is None:
            for name, value in self.database.log_in(email, self.data_dir).items():
                browser.cookies.set(name, value, domain="127.0.0.1")
            return browser
        browser.get("/accounts/login/")
        response = browser.post(
            "/accounts/login/",
            data={"username": email, "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]},
        )
        assert "sessionid" in browser.cookies, f"{response.status_code} {response.text[:500]}"
        return browser

    def cookie(self, email: str) -> str:
        """Return the Cookie header of a signed-in user, for a websocket client."""
        return "; ".join(f"{name}={value}" for name, value in self.database.log_in(email, self.data_dir).items())


class Up:
    """A real `manage.py up` with a data folder."""

    python = sys.executable
    root = ROOT

    def __init__(self, data_dir: Path, *options: str, **variables: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.parent / f"up-{self.port}.log"
        with open(self.log, "wb") as output:
            self.process = spawn(
                [self.python, "manage.py", "up", "--port", str(self.port), *options],
                env=clean_environment(DATA_DIR=str(data_dir), **variables),
                output=output,
                cwd=self.root,
            )

    @property
    def output(self) -> str:
        """The output of `up` and its children so far."""
        return self.log.read_text()

    def await_started(self) -> "Up":
        """Wait until it has printed its URL."""
        eventually(lambda: "Ctrl-C" in self.output, within=60, what=f"the address in\n{self.output}")
        return self

    def await_ready(self) -> "Up":
        """Wait until everything works, including the worker."""
        eventually(self.is_ready, within=60, what=f"/readyz of\n{self.output}")
        return self

    def is_ready(self) -> bool:
        """Return whether everything works; fail if `up` has exited."""
        assert self.process.poll() is None, f"up ended:\n{self.output}"
        try:
            ready = httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
            return ready and "Ctrl-C" in self.output
        except httpx.TransportError:
            return False

    def child(self, *words: str) -> psutil.Process:
        """Return the child of `up` whose command line contains these words."""
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # it has just ended
                if set(words) <= set(" ".join(child.cmdline()).split()):
                    return child
        raise StopIteration

    def kill9(self) -> None:
        """Send SIGKILL to `up` itself."""
        self.process.kill()
        self.process.wait(SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(40)


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Return all running processes with this data folder, including its PostgreSQL."""
    return [process for process in psutil.process_iter() if _belongs_to(process, data_dir)]


def _belongs_to(process: psutil.Process, data_dir: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get("DATA_DIR") == str(data_dir) or str(data_dir / "postgres") in process.cmdline()
    except psutil.Error:
        return False
