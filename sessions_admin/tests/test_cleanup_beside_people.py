"""A clean-up while people come back: whoever woke up keeps their session, and nobody waits."""

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
from sessions_admin.tests.conftest import GivenSession, InThread, give_turn, stored

CHOOSING = 'SELECT "chat_agentsession"."conversation_id"'
LOCKING = "FOR NO KEY UPDATE"


def test_a_session_that_was_spoken_in_after_it_was_chosen_is_left_alone(
    given_session: GivenSession, session_file: Path, owner: User
) -> None:
    woken, sleeping = given_session(owner), given_session(owner)
    awake = AgentSession.objects.filter(pk=woken.pk)

    with meanwhile(lambda: awake.update(last_activity_at=timezone.now()), before=LOCKING):
        report = cleanup(trigger=Trigger.COMMAND)

    assert (report.examined, report.sessions) == (2, 1)
    assert stored(session_file, woken) == [4, 1, 1]
    assert stored(session_file, sleeping) == [0, 0, 0]
    assert awake.get().gone_at is None


def test_a_session_whose_turn_began_after_it_was_chosen_is_left_alone(
    given_session: GivenSession, session_file: Path, owner: User
) -> None:
    session = given_session(owner)

    with meanwhile(lambda: give_turn(session, Status.RUNNING), before=LOCKING):
        report = cleanup(trigger=Trigger.COMMAND)

    assert (report.examined, report.sessions) == (1, 0)
    assert stored(session_file, session) == [4, 1, 1]


@pytest.mark.django_db(transaction=True)
def test_a_conversation_that_somebody_is_at_work_in_is_passed_over_without_waiting(
    given_session: GivenSession, session_file: Path, owner: User
) -> None:
    busy, sleeping = given_session(owner), given_session(owner)

    with elsewhere_locked(Conversation.objects.filter(pk=busy.conversation_id)):
        report = cleanup(trigger=Trigger.COMMAND)

    assert (report.examined, report.sessions) == (2, 1)
    assert stored(session_file, busy) == [4, 1, 1]
    assert stored(session_file, sleeping) == [0, 0, 0]


@pytest.mark.django_db(transaction=True)
def test_a_message_waits_until_the_session_under_it_is_gone(
    given_session: GivenSession, session_file: Path, owner: User, patient: None
) -> None:
    session = given_session(owner)
    with file_locked(session_file):
        cleaning = InThread(cleanup, trigger=Trigger.COMMAND)
        eventually(holds_sessions, what="the locks")
        sending = InThread(give_turn, session, Status.RUNNING)
        # Nothing can be waited for that is not to happen.
        sending.thread.join(0.3)
        assert sending.thread.is_alive()
    cleaning.join()
    sending.join()

    assert stored(session_file, session) == [0, 0, 0]
    session.refresh_from_db()
    assert session.gone_at is not None


def test_a_server_that_has_the_file_open_goes_on_reading_and_writing(
    given_session: GivenSession, session_file: Path, owner: User
) -> None:
    session, kept = given_session(owner), given_session(owner, idle=timedelta(0))

    async def serve() -> tuple[int, int, int]:
        store = FileStore(session_file)
        before = len(await store.rows(session.session_id))
        await asyncio.to_thread(clean_file, session_file, session.session_id)
        await store.write(Append(session.session_id, Fence(2, 1), [{"role": "user", "content": "back"}]))
        result = before, len(await store.rows(session.session_id)), len(await store.rows(kept.session_id))
        await store.close()
        return result

    assert asyncio.run(serve()) == (4, 1, 4)


# Two at once.


@pytest.mark.django_db(transaction=True)
def test_two_never_run_at_once(given_session: GivenSession, session_file: Path, owner: User, patient: None) -> None:
    session = given_session(owner)
    with file_locked(session_file):
        first = InThread(cleanup, trigger=Trigger.SCHEDULE)
        eventually(CleanupRun.objects.filter(status=RunStatus.RUNNING).exists, what="the first run")

        with pytest.raises(AlreadyRunning):
            cleanup(trigger=Trigger.COMMAND)

    assert first.join().sessions == 1
    assert stored(session_file, session) == [0, 0, 0]
    assert dict(CleanupRun.objects.values_list("trigger", "status")) == {"schedule": "done", "command": "failed"}
    refused = CleanupRun.objects.get(status=RunStatus.FAILED)
    assert (refused.error, refused.started_at) == ("Another clean-up is running.", None)
    assert refused.ended_at is not None


@pytest.mark.parametrize(("silent", "status"), [(121, RunStatus.FAILED), (60, RunStatus.RUNNING)])
def test_a_run_that_has_been_silent_for_two_minutes_no_longer_stands_in_the_way(
    given_session: GivenSession, owner: User, silent: int, status: RunStatus
) -> None:
    given_session(owner)
    dead = _running(silent)

    if status == RunStatus.FAILED:
        assert cleanup(trigger=Trigger.COMMAND).sessions == 1
    else:
        with pytest.raises(AlreadyRunning):
            cleanup(trigger=Trigger.COMMAND)

    dead.refresh_from_db()
    assert dead.status == status
    assert bool(dead.ended_at) == bool(dead.error) == (status == RunStatus.FAILED)


def test_a_run_that_was_taken_for_dead_removes_nothing_more(
    given_session: GivenSession, session_file: Path, owner: User
) -> None:
    session = given_session(owner)

    def bury() -> None:
        CleanupRun.objects.update(status=RunStatus.FAILED, ended_at=timezone.now(), error="buried")

    with meanwhile(bury, after=CHOOSING), pytest.raises(HeartbeatLost):
        cleanup(trigger=Trigger.COMMAND)

    assert stored(session_file, session) == [4, 1, 1]
    assert CleanupRun.objects.get().error == "buried"


# Helpers.


@contextmanager
def meanwhile(happens: Callable[[], object], *, before: str = "", after: str = "") -> Iterator[None]:
    """Let something happen once: just before a statement with these words, or just after one."""
    waiting = [happens]

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if before and before in sql and waiting:
            waiting.pop()()
        result = execute(sql, params, many, context)
        if after and after in sql and waiting:
            waiting.pop()()
        return result

    with connection.execute_wrapper(watch):
        yield
    assert not waiting


@contextmanager
def elsewhere_locked(rows: Any) -> Iterator[None]:
    """Hold locks on rows by another connection."""
    locked, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            assert list(rows.locked())
            locked.set()
            enough.wait(30)

    holding = InThread(hold)
    assert locked.wait(30)
    try:
        yield
    finally:
        enough.set()
        holding.join()


@contextmanager
def file_locked(path: Path) -> Iterator[None]:
    """Hold the session file's write lock, so that a clean-up stays in the middle of its work."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        yield


def holds_sessions() -> bool:
    """Return whether somebody has locked sessions, and their conversations before, without trying to lock them too."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = 'chat_agentsession'::regclass AND mode = 'RowShareLock'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return bool(cursor.fetchone()[0])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clean-ups wait for the file for as long as a busy machine takes."""
    monkeypatch.setattr("chat.memory.sync_file.LOCK_BUDGET", 60)


def clean_file(path: Path, session_id: str) -> None:
    """Remove a session as the worker does."""
    with opened(path) as file:
        file.remove([session_id])


def _running(silent: int) -> CleanupRun:
    then = timezone.now() - timedelta(seconds=silent)
    return CleanupRun.objects.create(
        trigger=Trigger.SCHEDULE, status=RunStatus.RUNNING, started_at=then, heartbeat_at=then
    )
