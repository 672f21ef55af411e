"""Run the SDK's own session tests against our session handle: how many pass, and why the others do not.

    uv run python -m benchmarks.sdk_session_tests [--database] path/to/openai-agents-python

Our handle uses the session file or, with `--database`, tables in a PostgreSQL of its own. Runs the unchanged tests of a
checkout of the SDK. Only construction is adapted: a test that creates a `SQLiteSession`, an `AsyncSQLiteSession` or a
`SimpleListSession` gets an `AgentSessionMemory` with a store of its own, and a plain connection to insert invalid rows.
Exits with an error if a test fails that is not listed in `CANNOT_APPLY`. docs/explanation/conformance.md has the
counts.
"""

import argparse
import asyncio
import importlib
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agents
import agents.extensions.memory
import aiosqlite
import psycopg
import pytest
from agents import SessionSettings, TResponseInputItem
from agents.memory.session import SessionABC
from agents.memory.session_settings import coerce_session_settings

from benchmarks.place import isolated_environment, set_up
from benchmarks.session_peers import prepare
from benchmarks.upstream import OutcomeRecorder, Upstream, prepend_to_path

if TYPE_CHECKING:
    from chat.memory.session import AgentSessionMemory
    from chat.memory.store import SessionStore

FILES = (
    "tests/memory/test_session.py",
    "tests/memory/test_session_limit.py",
    "tests/extensions/memory/test_async_sqlite_session.py",
    "tests/test_hitl_session_scenario.py",
)
CLOSED_ERROR = "expects a RuntimeError that names the SDK's class; ours raises MemoryUnavailable"
EMPTY_ADD = "expects an error when no items are added to a closed session; ours does nothing"
DROPPED_TABLE = "expects SQLite's own error after a table was dropped; ours raises MemoryUnavailable, then recreates it"
READS_FILE = "reads the rows from a SQLite file"
FOREIGN_KEY = "inserts invalid rows for a session that does not exist, which PostgreSQL rejects"
PRIVATE = "reads or replaces private connections, locks or methods of the SDK's class"

CANNOT_APPLY = {
    "closed_rejects_empty_add_items": EMPTY_ADD,
    "closed_operations_raise_runtime_error": CLOSED_ERROR,
    "close_before_use_is_terminal": CLOSED_ERROR,
    "close_is_idempotent": CLOSED_ERROR,
    "failed_clear_session_rolls_back": DROPPED_TABLE,
    "failed_pop_item_releases_write_lock": DROPPED_TABLE,
    "close_closes_worker_thread_connections": PRIVATE,
    "file_lock_is_shared_across_instances": PRIVATE,
    "rollback_failure_evicts_connection": PRIVATE,
    "rollback_failure_closes_and_evicts_connection": PRIVATE,
    "close_retries_quarantined_connection": PRIVATE,
    "close_retries_connection_quarantined_after_rollback_failure": PRIVATE,
    "close_retries_quarantined_failed_initialization_candidate": PRIVATE,
    "post_commit_cancellation_propagates": PRIVATE,
    "cancelled_close_finishes_cleanup": PRIVATE,
    "cancelled_add_items_rolls_back_write_transaction": PRIVATE,
    "operation_failure_then_cancellation_during_rollback": PRIVATE,
    "failed_initialization_closes_candidate_connection": PRIVATE,
    "cancelled_initialization_finishes_candidate_close": PRIVATE,
    "initialization_failure_then_cancellation_during_candidate_close": PRIVATE,
    "cancelled_connect_closes_eventually_acquired_connection": PRIVATE,
}
ONLY_IN_FILE = {
    "failed_add_items_releases_write_lock": READS_FILE,
    "failed_add_items_rolls_back": READS_FILE,
    "pop_item_returns_none_after_dropping_only_corrupt_rows": FOREIGN_KEY,
}
AGENTS = Upstream("openai-agents", FILES, CANNOT_APPLY)
# Timeouts in seconds. A test that cannot apply may wait for a call of a private method that never comes.
TIMEOUT, EXCLUDED_TIMEOUT = 60, 3

created: list["Adapted"] = []


def is_in_database() -> bool:
    """Return whether the sessions are stored in PostgreSQL."""
    return bool(os.environ.get("DATABASE_URL"))


def open_store(path: Path) -> "SessionStore":
    """Open the file, or the tables, which all stores of a test share."""
    if is_in_database():
        from chat.memory.database_store import DatabaseStore

        return DatabaseStore("default")
    from chat.memory.file_store import FileStore

    return FileStore(path)


class TranslatedConnection:
    """A psycopg connection that accepts SQLite's parameter style."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.commit, self.close = connection.commit, connection.close

    def execute(self, statement: str, values: Sequence[object] = ()) -> Any:
        """Execute a statement; with an async connection the result is awaitable."""
        return self._connection.execute(statement.replace("?", "%s"), values)


class Adapted(SessionABC):
    """Our handle with the constructor of the SDK's classes.

    A store belongs to one event loop. If a test uses a session from another loop, each call opens a store of its own.
    """

    def __init__(
        self,
        session_id: str,
        db_path: str | Path = ":memory:",
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        self.session_id = session_id
        self.session_settings = coerce_session_settings(session_settings or SessionSettings())
        self.path = Path(tempfile.mkdtemp(), "sessions.db") if str(db_path) == ":memory:" else Path(db_path)
        self.store = open_store(self.path)
        self.loop = _running_loop()
        created.append(self)

    @asynccontextmanager
    async def _handle(self) -> AsyncIterator["AgentSessionMemory"]:
        if asyncio.get_running_loop() is self.loop:
            yield self._handle_for(self.store)
            return
        store = open_store(self.path)
        try:
            yield self._handle_for(store)
        finally:
            await store.close()

    def _handle_for(self, store: "SessionStore") -> "AgentSessionMemory":
        from chat.memory.session import AgentSessionMemory

        handle = AgentSessionMemory(self.session_id, store)
        handle.session_settings = self.session_settings
        return handle

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        async with self._handle() as handle:
            return await handle.get_items(limit)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        async with self._handle() as handle:
            await handle.add_items(items)

    async def pop_item(self) -> TResponseInputItem | None:
        async with self._handle() as handle:
            return await handle.pop_item()

    async def clear_session(self) -> None:
        async with self._handle() as handle:
            await handle.clear_session()


class AdaptedSQLite(Adapted):
    """Replaces `SQLiteSession`. Tests insert invalid rows through its private connection."""

    messages_table = "agent_messages"

    def close(self) -> None:
        if self.loop is not None:
            self.closing = self.loop.create_task(self.store.close())

    @contextmanager
    def _locked_connection(self) -> Iterator[Any]:
        if is_in_database():
            with psycopg.connect(os.environ["DATABASE_URL"]) as postgres:
                yield TranslatedConnection(postgres)
            return
        from chat.memory import file

        file.connect(self.path, busy_ms=1000).close()  # creates the tables
        with closing(sqlite3.connect(self.path)) as connection:
            yield connection


class AdaptedAsyncSQLite(Adapted):
    """Replaces `AsyncSQLiteSession`."""

    messages_table = "agent_messages"
    _connection: Any = None

    async def close(self) -> None:
        await self.store.close()
        if self._connection is not None:
            await self._connection.close()

    async def _get_connection(self) -> Any:
        await self.store.rows("")  # creates the file
        if self._connection is None and is_in_database():
            self._connection = TranslatedConnection(await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"]))
        if self._connection is None:
            self._connection = await aiosqlite.connect(self.path)
        return self._connection


class AdaptedList(Adapted):
    """Replaces the tests' `SimpleListSession`, which accepts a history."""

    def __init__(self, session_id: str = "test", history: list[TResponseInputItem] | None = None) -> None:
        super().__init__(session_id)
        self._history: list[TResponseInputItem] | None = list(history or ())

    @asynccontextmanager
    async def _handle(self) -> AsyncIterator["AgentSessionMemory"]:
        async with super()._handle() as handle:
            if self._history is not None:
                history, self._history = self._history, None
                await handle.clear_session()  # stores in one database share their sessions
                await handle.add_items(history)
            yield handle


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class TimedOutcomeRecorder(OutcomeRecorder):
    """Records outcomes, and limits the time of each test."""

    def __init__(self) -> None:
        super().__init__()
        self.without_session: set[str] = set()

    @pytest.fixture(autouse=True)
    async def stores_are_closed(self) -> AsyncIterator[None]:
        """Close the stores that a test left open: a remaining thread would keep the interpreter from exiting."""
        yield
        for session in created:
            await session.store.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run one test with a timeout, and record whether it created a session."""

        def raise_timeout(*_: object) -> None:
            raise TimeoutError("The test did not finish in time.")

        created.clear()
        if is_in_database():
            with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
                connection.execute("TRUNCATE agent_sessions, agent_messages, threadkeeper_turns, threadkeeper_digests")
        signal.signal(signal.SIGALRM, raise_timeout)
        signal.alarm(EXCLUDED_TIMEOUT if AGENTS.exclusion_reason(item.name) else TIMEOUT)
        try:
            return (yield)
        finally:
            signal.alarm(0)
            if not created:
                self.without_session.add(item.nodeid)


def run(checkout: Path) -> TimedOutcomeRecorder:
    """Run the test files of a checkout with our handle instead of the SDK's."""
    prepend_to_path(checkout)
    agents.SQLiteSession = AdaptedSQLite  # type: ignore[misc, assignment]
    agents.extensions.memory.AsyncSQLiteSession = AdaptedAsyncSQLite  # type: ignore[misc, assignment]
    importlib.import_module("tests.utils.simple_session").SimpleListSession = AdaptedList  # type: ignore[attr-defined]
    recorder = TimedOutcomeRecorder()
    AGENTS.run(checkout, recorder, "--tb=no", "--no-summary")
    return recorder


def main() -> None:
    """Run the tests of the checkout given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", action="store_true", help="store the sessions in PostgreSQL")
    parser.add_argument("checkout", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        tempfile.tempdir = folder
        if options.database:
            CANNOT_APPLY.update(ONLY_IN_FILE)
            stack.enter_context(isolated_environment())
            set_up()
        else:
            prepare(Path(folder))
        recorder = run(options.checkout.resolve())
        passed = AGENTS.report(recorder, without_a_session=recorder.without_session)
    sys.exit(not passed)


if __name__ == "__main__":
    main()
