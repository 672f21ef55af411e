"""Shared fixtures: sessions of any age in a real store, and staff with chosen permissions."""

import asyncio
import re
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, Protocol, cast

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from chat.memory import database_tables
from chat.memory.configured import DATABASE, FILE
from chat.memory.file_store import FileStore
from chat.memory.identity import SessionId
from chat.memory.metadata import update_metadata
from chat.memory.statements import Append, Fence, Size
from chat.models import AgentSession, Conversation, Turn, User
from chat.models.turn import Status
from chat.tests.conftest import chat, each_store, offline_chat, script, start_runner
from chat.tests.stores import remove_all
from chat.turns.accept import accept
from config.runtime import clocks
from config.tests.support import PASSWORD

# Fixtures of the chat, for the effects of a clean-up on conversations.
__all__ = ["chat", "each_store", "offline_chat", "script", "start_runner"]

OLD = timedelta(days=8)


class MakeSession(Protocol):
    """Makes a conversation with a session that has been idle for a while."""

    def __call__(self, user: User, *, idle: timedelta = OLD, items: int = 4, title: str = "Party") -> AgentSession: ...


BOTH_STORES = pytest.mark.parametrize("store_kind", [FILE, DATABASE], indirect=True)


@pytest.fixture
def store_kind(request: pytest.FixtureRequest, settings: Settings) -> Iterator[str]:
    """The kind of session store: a file, unless the test is parametrized with both."""
    kind: str = getattr(request, "param", FILE)
    settings.AGENT_SESSION_STORE = kind
    yield kind
    if DATABASE in (kind, settings.AGENT_SESSION_STORE) and not connection.in_atomic_block:
        remove_all()


@pytest.fixture
def session_file(store_kind: str, tmp_path: Path, settings: Settings) -> Path:
    """The path of this test's own session file, which only the file store creates."""
    path = tmp_path / "agent_sessions.db"
    settings.AGENT_SESSION_DB_PATH = path
    return path


@pytest.fixture
def make_session(db: None, session_file: Path) -> MakeSession:
    """Make sessions as turns do: items in the store, then the metadata."""

    def make(user: User, *, idle: timedelta = OLD, items: int = 4, title: str = "Party") -> AgentSession:
        then = timezone.now() - idle
        conversation = Conversation.objects.create(user=user, title=title, updated_at=then)
        size = append_items(session_file, str(SessionId(user.pk, conversation.pk)), items)
        update_metadata(SessionId(conversation.user_id, conversation.pk), size=size, now=then)
        return AgentSession.objects.get(conversation=conversation)

    return make


def append_items(path: Path, session_id: str, items: int) -> Size:
    """Append items to a session through the store; return its size."""
    messages = [{"role": "user", "content": f"message {n} of the party – café"} for n in range(items)]
    return write(path, [Append(session_id, Fence(1, 1), messages)])


def write(path: Path, appends: Sequence[Append]) -> Size:
    """Write to a session as turns do; return its size."""
    session_id = appends[0].session_id
    if settings.AGENT_SESSION_STORE == DATABASE:
        # In the test's own transaction.
        for append in appends:
            assert database_tables.commit(DEFAULT_DB_ALIAS, [append]) == [None]
        return database_tables.measure(DEFAULT_DB_ALIAS, [session_id])[session_id]

    async def write_to_file() -> Size:
        store = FileStore(path)
        for append in appends:
            await store.write(append)
        size = await store.size(session_id)
        await store.close()
        return size

    return asyncio.run(write_to_file())


@pytest.fixture
def no_machine_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Simulate a machine whose monotonic clock has no identifier; the test sets the wall clock."""
    monkeypatch.setattr(clocks, "BOOT_ID", Path("/nowhere"))
    clocks.machine_clock.cache_clear()
    yield
    clocks.machine_clock.cache_clear()


@pytest.fixture
def sqlite_without_secure_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn secure_delete off by default, as many builds of SQLite do: deleted data stays in the file."""

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real_connect(*args, **kwargs)
        connection.execute("PRAGMA secure_delete=OFF")
        return connection

    real_connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)


def count_rows(path: Path, session_id: object) -> list[int]:
    """Count a session's rows in each table of the store."""
    counts = []
    for table in ("agent_messages", "agent_sessions", "threadkeeper_turns"):
        ((count,),) = sql(path, f"SELECT count(*) FROM {table} WHERE session_id = ?", str(session_id))  # noqa: S608
        counts.append(int(str(count)))
    return counts


def sql(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run a statement on the session store, whichever its kind."""
    if settings.AGENT_SESSION_STORE == DATABASE:
        with connection.cursor() as cursor:
            cursor.execute(statement.replace("%", "%%").replace("?", "%s"), cast(Any, values))
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(path)) as file, file:
        return file.execute(statement, values).fetchall()


def create_turn(session: AgentSession, status: Status) -> Turn:
    """Add a turn with this status to the session's conversation."""
    accepted = accept(
        user_id=session.user_id,
        conversation_id=session.conversation_id,
        client_id=uuid.uuid4(),
        text="Hello again",
        runner=uuid.uuid4(),
    )
    ended = None if status in (Status.QUEUED, Status.RUNNING, Status.WAITING) else timezone.now()
    Turn.objects.filter(pk=accepted.turn.pk).update(status=status, ended_at=ended)
    return accepted.turn


def text_of(page: str) -> str:
    """Return the text of a page, without its markup."""
    return " ".join(re.sub("<[^>]*>", " ", page).split())


def command_output(name: str, *arguments: object) -> str:
    """Run a command; return what it prints."""
    out = StringIO()
    call_command(name, *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue()


def queries_of(browser: Client, page: str) -> list[str]:
    """Open a page; return its SQL queries."""
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(page).status_code == 200
    return [query["sql"] for query in captured.captured_queries]


class InThread:
    """A call in a thread with a connection of its own."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._call, args=(function, args, kwargs))
        self.thread.start()

    def _call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        try:
            self.result = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised again by join
            self.error = error
        finally:
            connection.close()

    def join(self) -> Any:
        """Wait for the call and return what it returned."""
        self.thread.join(30)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error
        return self.result


# Staff with limited permissions.


class MakeStaffClient(Protocol):
    """Makes a client that is signed in as staff with these permissions."""

    def __call__(self, *codenames: str) -> Client: ...


@pytest.fixture
def make_staff_client(db: None) -> MakeStaffClient:
    """Create staff with permissions given by their code names."""

    def make(*codenames: str) -> Client:
        user = User.objects.create_user(f"staff{User.objects.count()}@example.com", PASSWORD, is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


@pytest.fixture
def unprivileged_staff_client(make_staff_client: MakeStaffClient) -> Client:
    """Staff without permissions."""
    return make_staff_client()


@pytest.fixture
def viewer_client(make_staff_client: MakeStaffClient) -> Client:
    """Staff who may view sessions and runs, and start none."""
    return make_staff_client("view_agentsession", "view_cleanuprun")


@pytest.fixture
def manager_client(make_staff_client: MakeStaffClient) -> Client:
    """Staff who may view sessions and runs, and start clean-ups."""
    return make_staff_client("view_agentsession", "view_cleanuprun", "run_cleanup")


ClientOf = Callable[[str], Client]


@pytest.fixture
def client_of(request: pytest.FixtureRequest) -> ClientOf:
    """Return the client of a role by its name."""

    def give(role: str) -> Client:
        client: Client = Client() if role == "anonymous" else request.getfixturevalue(f"{role}_client")
        return client

    return give
