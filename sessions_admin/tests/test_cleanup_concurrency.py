"""A clean-up concurrent with turns, servers and other clean-ups."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from chat.memory.file_store import FileStore
from chat.memory.statements import Append, Fence
from chat.memory.sync_file import opened
from chat.models import AgentSession, Conversation, User
from chat.models.turn import Status
from config.tests.support import eventually
from sessions_admin.models import CleanupRun, RunStatus, Trigger
from sessions_admin.retention.cleanup import AlreadyRunning, HeartbeatLost, cleanup
from sessions_admin.tests.conftest import InThread, MakeSession, count_rows, create_turn

SELECT_SESSIONS = 'SELECT "chat_agentsession"."conversation_id"'
LOCK_SESSIONS = "FOR NO KEY UPDATE"


def test_session_active_after_selection_is_kept(make_session: MakeSession, session_file: Path, owner: User) -> None:
    active, inactive = make_session(owner), make_session(owner)
    active_row = AgentSession.objects.filter(pk=active.pk)

    with call_once(lambda: active_row.update(last_activity_at=timezone.now()), before=LOCK_SESSIONS):
        report = cleanup(trigger=Trigger.COMMAND)

    assert (report.examined, report.sessions) == (2, 1)
    assert count_rows(session_file, active) == [4, 1, 1]
    assert count_rows(session_file, inactive) == [0, 0, 0]
    assert active_row.get().gone_at is None


def test_session_with_a_turn_begun_after_selection_is_kept(
    make_session: MakeSession, session_file: Path, owner: User
) -> None:
    session = make_session(owner)

    with call_once(lambda: create_turn(session, Status.RUNNING), before=LOCK_SESSIONS):
        report = cleanup(trigger=Trigger.COMMAND)

    assert (report.examined, report.sessions) == (1, 0)
    assert count_rows(session_file, session) == [4, 1, 1]


@pytest.mark.django_db(transaction=True)
def test_locked_conversation_is_skipped_without_waiting(
    make_session: MakeSession, session_file: Path, owner: User
) -> None:
    busy, inactive = make_session(owner), make_session(owner)

    with locked_elsewhere(Conversation.objects.filter(pk=busy.conversation_id)):
        report = cleanup(trigger=Trigger.COMMAND)

    assert (report.examined, report.sessions) == (2, 1)
    assert count_rows(session_file, busy) == [4, 1, 1]
    assert count_rows(session_file, inactive) == [0, 0, 0]


@pytest.mark.django_db(transaction=True)
def test_new_turn_waits_until_the_session_is_removed(
    make_session: MakeSession, session_file: Path, owner: User, long_file_timeout: None
) -> None:
    session = make_session(owner)
    with file_locked(session_file):
        cleaning = InThread(cleanup, trigger=Trigger.COMMAND)
        eventually(session_locks_are_held, what="the locks of the clean-up")
        sending = InThread(create_turn, session, Status.RUNNING)
        # There is no event to wait for: the turn must not begin.
        sending.thread.join(0.3)
        assert sending.thread.is_alive()
    cleaning.join()
    sending.join()

    assert count_rows(session_file, session) == [0, 0, 0]
    session.refresh_from_db()
    assert session.gone_at is not None


def test_server_with_the_file_open_continues_reading_and_writing(
    make_session: MakeSession, session_file: Path, owner: User
) -> None:
    session, kept = make_session(owner), make_session(owner, idle=timedelta(0))

    async def serve() -> tuple[int, int, int]:
        store = FileStore(session_file)
        before = len(await store.rows(session.session_id))
        await asyncio.to_thread(clean_file, session_file, session.session_id)
        await store.write(Append(session.session_id, Fence(2, 1), [{"role": "user", "content": "back"}]))
        result = before, len(await store.rows(session.session_id)), len(await store.rows(kept.session_id))
        await store.close()
        return result

    assert asyncio.run(serve()) == (4, 1, 4)


# Concurrent runs.


@pytest.mark.django_db(transaction=True)
def test_concurrent_cleanup_is_refused(
    make_session: MakeSession, session_file: Path, owner: User, long_file_timeout: None
) -> None:
    session = make_session(owner)
    with file_locked(session_file):
        first = InThread(cleanup, trigger=Trigger.SCHEDULE)
        eventually(CleanupRun.objects.filter(status=RunStatus.RUNNING).exists, what="the first run")

        with pytest.raises(AlreadyRunning):
            cleanup(trigger=Trigger.COMMAND)

    assert first.join().sessions == 1
    assert count_rows(session_file, session) == [0, 0, 0]
    assert dict(CleanupRun.objects.values_list("trigger", "status")) == {"schedule": "done", "command": "failed"}
    refused = CleanupRun.objects.get(status=RunStatus.FAILED)
    assert (refused.error, refused.started_at) == ("Another clean-up is running.", None)
    assert refused.ended_at is not None


@pytest.mark.parametrize(("age", "status"), [(121, RunStatus.FAILED), (60, RunStatus.RUNNING)])
def test_run_without_heartbeat_for_two_minutes_does_not_block(
    make_session: MakeSession, owner: User, age: int, status: RunStatus
) -> None:
    make_session(owner)
    stale_run = _running(age)

    if status == RunStatus.FAILED:
        assert cleanup(trigger=Trigger.COMMAND).sessions == 1
    else:
        with pytest.raises(AlreadyRunning):
            cleanup(trigger=Trigger.COMMAND)

    stale_run.refresh_from_db()
    assert stale_run.status == status
    assert bool(stale_run.ended_at) == bool(stale_run.error) == (status == RunStatus.FAILED)


def test_run_that_lost_its_heartbeat_removes_nothing(
    make_session: MakeSession, session_file: Path, owner: User
) -> None:
    session = make_session(owner)

    def mark_failed() -> None:
        CleanupRun.objects.update(status=RunStatus.FAILED, ended_at=timezone.now(), error="buried")

    with call_once(mark_failed, after=SELECT_SESSIONS), pytest.raises(HeartbeatLost):
        cleanup(trigger=Trigger.COMMAND)

    assert count_rows(session_file, session) == [4, 1, 1]
    assert CleanupRun.objects.get().error == "buried"


# Helpers.


@contextmanager
def call_once(function: Callable[[], object], *, before: str = "", after: str = "") -> Iterator[None]:
    """Call a function once, just before or just after a statement that contains this text."""
    pending = [function]

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if before and before in sql and pending:
            pending.pop()()
        result = execute(sql, params, many, context)
        if after and after in sql and pending:
            pending.pop()()
        return result

    with connection.execute_wrapper(wrapper):
        yield
    assert not pending


@contextmanager
def locked_elsewhere(rows: Any) -> Iterator[None]:
    """Lock rows on another connection."""
    locked, may_release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            assert list(rows.locked())
            locked.set()
            may_release.wait(30)

    holding = InThread(hold)
    assert locked.wait(30)
    try:
        yield
    finally:
        may_release.set()
        holding.join()


@contextmanager
def file_locked(path: Path) -> Iterator[None]:
    """Hold the session file's write lock, which blocks a clean-up in the middle of its work."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        yield


def session_locks_are_held() -> bool:
    """Return whether a transaction has locked sessions (and, before them, conversations), without requesting locks."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = 'chat_agentsession'::regclass AND mode = 'RowShareLock'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return bool(cursor.fetchone()[0])


@pytest.fixture
def long_file_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clean-ups wait for the file long enough for a busy machine."""
    monkeypatch.setattr("chat.memory.sync_file.LOCK_BUDGET", 60)


def clean_file(path: Path, session_id: str) -> None:
    """Remove a session as the worker does."""
    with opened(path) as file:
        file.remove([session_id])


def _running(age: int) -> CleanupRun:
    then = timezone.now() - timedelta(seconds=age)
    return CleanupRun.objects.create(
        trigger=Trigger.SCHEDULE, status=RunStatus.RUNNING, started_at=then, heartbeat_at=then
    )
