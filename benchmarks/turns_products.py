"""The two products that `benchmarks.turns` compares: start them as their documentation says, and sign users in."""

import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg

from config.runtime.processes import spawn
from config.tests.support import (
    PASSWORD,
    ROOT,
    SECONDS,
    LiveDatabase,
    ServerProcess,
    clean_environment,
    create_tables,
    eventually,
    free_port,
)

MODEL = "gpt-5-mini"
# From Chainlit's documentation for version 2.12.
TABLES = """
CREATE TABLE users (
    "id" uuid PRIMARY KEY, "identifier" text NOT NULL UNIQUE, "metadata" jsonb NOT NULL, "createdAt" text
);
CREATE TABLE threads (
    "id" uuid PRIMARY KEY, "createdAt" text, "name" text, "userId" uuid REFERENCES users ON DELETE CASCADE,
    "userIdentifier" text, "tags" text[], "metadata" jsonb
);
CREATE TABLE steps (
    "id" uuid PRIMARY KEY, "name" text NOT NULL, "type" text NOT NULL,
    "threadId" uuid NOT NULL REFERENCES threads ON DELETE CASCADE, "parentId" uuid, "streaming" boolean NOT NULL,
    "waitForAnswer" boolean, "isError" boolean, "metadata" jsonb, "tags" text[], "input" text, "output" text,
    "createdAt" text, "command" text, "start" text, "end" text, "generation" jsonb, "showInput" text,
    "language" text, "indent" int, "defaultOpen" boolean, "autoCollapse" boolean, "modes" jsonb
);
CREATE TABLE elements (
    "id" uuid PRIMARY KEY, "threadId" uuid REFERENCES threads ON DELETE CASCADE, "type" text, "url" text,
    "chainlitKey" text, "name" text NOT NULL, "display" text, "objectKey" text, "size" text, "page" int,
    "language" text, "forId" uuid, "mime" text, "props" jsonb
);
CREATE TABLE feedbacks (
    "id" uuid PRIMARY KEY, "forId" uuid NOT NULL, "threadId" uuid NOT NULL REFERENCES threads ON DELETE CASCADE,
    "value" int NOT NULL, "comment" text
);
"""
# Does what django.contrib.auth.login does: a hundred login forms would take a minute, mostly for password hashing.
SIGN_IN = """
from django.contrib import auth
from django.contrib.sessions.backends.db import SessionStore
from chat.models import User
keys = []
for user in User.objects.filter(email__startswith="person").order_by("created_at"):
    session = SessionStore()
    session[auth.SESSION_KEY] = str(user.pk)
    session[auth.BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    keys.append(session.session_key)
print(json.dumps(keys))
"""
AGENT = """
from datetime import UTC, datetime
from chat.assistant.agent import INSTRUCTIONS, spoken
from chat.assistant.tools import TOOLS
tools = [tool.function_tool() for tool in TOOLS]
print(json.dumps({
    "instructions": INSTRUCTIONS.format(now=spoken(datetime.now(UTC)), week_start="Monday", memory=""),
    "tools": [{"name": t.name, "description": t.description, "schema": t.params_json_schema} for t in tools],
}))
"""


class Product(ABC):
    """A server that can be restarted with the same database and folder."""

    name: ClassVar[str]
    # Counts the stored replies.
    replies_query: ClassVar[str]

    def __init__(self, database: str, folder: Path, model_url: str) -> None:
        self.database = LiveDatabase(database)
        self.folder = folder
        self.model_url = model_url
        self.cookies: list[str] = []
        folder.mkdir()

    @abstractmethod
    def start(self) -> tuple[str, int]:
        """Start the server; return its address and its process id."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the server."""

    @abstractmethod
    def sign_in(self, users: int) -> None:
        """Sign users in at the running server, and add their cookies to `cookies`."""

    def replies(self) -> int:
        """Count the replies in the database."""
        ((count,),) = self.database.query(self.replies_query)
        return int(count)

    def error_count(self) -> int:
        """Count the errors in its log."""
        return sum(" ERROR " in line or "error occurred" in line for line in self.output.splitlines())

    @property
    @abstractmethod
    def output(self) -> str:
        """The log of the server so far."""


class Threadkeeper(Product):
    """`python -m config.runtime.asgi_server`, as `manage.py up --no-worker` starts it."""

    name = "Threadkeeper"
    program = "config.runtime.asgi_server"
    replies_query = "SELECT count(*) FROM chat_message WHERE role = 'assistant'"

    def __init__(self, database: str, folder: Path, model_url: str) -> None:
        super().__init__(database, folder, model_url)
        create_tables(database, folder)
        self._server: ServerProcess | None = None

    def start(self) -> tuple[str, int]:
        settings = {
            "OPENAI_BASE_URL": self.model_url,
            "AGENT_MODEL": MODEL,
            "AGENT_GUARDRAIL": "off",
            "MESSAGES_PER_MINUTE": "1000000",
            "SOCKETS_PER_USER": "1000",
        }
        self._server = ServerProcess(self.database, self.folder, program=self.program, **settings)
        return self._server.url, self._server.process.pid

    def stop(self) -> None:
        assert self._server is not None
        assert self._server.terminate() == 0, self._server.output

    @property
    def output(self) -> str:
        assert self._server is not None
        return self._server.output

    def sign_in(self, users: int) -> None:
        for n in range(users):
            self.database.add_user(f"person{n}@example.com")
        for key in _in_django(SIGN_IN, DATABASE_URL=self.database.url, DATA_DIR=str(self.folder)):
            self.cookies.append(f"sessionid={key}")


class Chainlit(Product):
    """`chainlit run` of an app with the same agent, with the package in an environment of its own."""

    name = "Chainlit"
    replies_query = "SELECT count(*) FROM steps WHERE type = 'assistant_message'"

    def __init__(self, database: str, folder: Path, model_url: str) -> None:
        super().__init__(database, folder, model_url)
        self._python = folder / "environment"
        self._install()
        self.version = self._run_python("import importlib.metadata as m; print(m.version('chainlit'))")
        shutil.copy(ROOT / "benchmarks" / "turns_chainlit.py", folder / "app.py")
        (folder / "agent.json").write_text(json.dumps(_our_agent(folder, model_url)))
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(TABLES)
        self._process: subprocess.Popen[bytes] | None = None

    def _install(self) -> None:
        # The same versions of the SDK and its client as ours.
        pinned = [f"{name}=={version(name)}" for name in ("openai-agents", "openai", "pydantic")]
        requirements = ["chainlit", "sqlalchemy[asyncio]", "asyncpg", *pinned]
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run(["uv", "venv", "--quiet", "--python", python, self._python], check=True)
        subprocess.run(
            ["uv", "pip", "install", "--quiet", "--python", self._python / "bin" / "python", *requirements], check=True
        )

    def _run_python(self, code: str) -> str:
        command = [str(self._python / "bin" / "python"), "-c", code]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def start(self) -> tuple[str, int]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = {
            **clean_environment(),
            "VIRTUAL_ENV": str(self._python),
            "CHAINLIT_APP_ROOT": str(self.folder),
            "CHAINLIT_AUTH_SECRET": "of this benchmark alone, and long enough to sign with",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
            "TURNS_AGENT": str(self.folder / "agent.json"),
            "TURNS_DATABASE": _for_asyncpg(self.database.url),
            "TURNS_PASSWORD": PASSWORD,
        }
        command = [str(self._python / "bin" / "chainlit"), "run", "app.py", "--headless", "--host", "127.0.0.1"]
        with open(self.folder / "chainlit.log", "ab") as output:
            self._process = process = spawn(
                [*command, "--port", str(port)], env=environment, output=output, cwd=self.folder
            )

        def is_ready() -> bool:
            assert process.poll() is None, self.output
            try:
                return httpx.get(url, timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        eventually(is_ready, within=60, what=f"Chainlit at {url}")
        self._url = url
        return url, process.pid

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(SECONDS)

    def sign_in(self, users: int) -> None:
        for n in range(users):
            with httpx.Client(base_url=self._url) as browser:
                form = {"username": f"person{n}@example.com", "password": PASSWORD}
                browser.post("/login", data=form).raise_for_status()
                self.cookies.append("; ".join(f"{name}={value}" for name, value in browser.cookies.items()))

    @property
    def output(self) -> str:
        return (self.folder / "chainlit.log").read_text()


def _for_asyncpg(url: str) -> str:
    """Return the URL of a PostgreSQL for SQLAlchemy with asyncpg."""
    parts = urlsplit(url)
    host = parse_qs(parts.query)["host"][0] if parts.query else parts.netloc
    return f"postgresql+asyncpg://postgres@{parts.path}?host={host}"


def _our_agent(folder: Path, model_url: str) -> Mapping[str, object]:
    """Return the instructions and tools of our agent, for the Chainlit app."""
    agent = _in_django(AGENT, DATA_DIR=str(folder / "unused"))
    return {**agent, "model": MODEL, "base_url": model_url}


def _in_django(code: str, **variables: str) -> Any:
    """Run our own code in a process with our settings; return its output, parsed as JSON."""
    environment = clean_environment(PYTHONPATH=os.fspath(ROOT), **variables)
    command = [sys.executable, "-c", f"import json, django; django.setup()\n{code}"]
    completed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=ROOT)
    return json.loads(completed.stdout)
