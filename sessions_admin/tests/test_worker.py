"""The daily clean-up in a real worker process."""

import os
import signal
import sqlite3
import time
import uuid
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.utils import timezone

from chat.memory import file as session_file
from chat.memory.identity import SessionId
from chat.memory.statements import Size
from config.tests.collector import Collector, tree
from config.tests.support import SECONDS, LiveDatabase, eventually, run
from sessions_admin.retention.cleanup import BATCH
from sessions_admin.retention.runs import RESUMED
from sessions_admin.schedules import DAILY, MINUTELY
from sessions_admin.tests.conftest import append_items, count_rows
from sessions_admin.tests.live_worker import SCHEDULE_TIMEOUT, make_due, worker

# These run among the first, because they take the longest.
pytestmark = [pytest.mark.service, pytest.mark.xdist_group("worker")]


def add_session(database: LiveDatabase, user: uuid.UUID, *, session_id: SessionId, idle: timedelta, size: Size) -> None:
    """Insert a conversation and the metadata of its session into the database."""
    then = timezone.now() - idle
    database.query(
        "INSERT INTO chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position)"
        " VALUES (%s, %s, 'Party', %s, %s, 1, 2)",
        *(session_id.conversation_id, user, then, then),
    )
    database.query(
        "INSERT INTO chat_agentsession (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,"
        " first_activity_at, last_activity_at, last_error) VALUES (%s, %s, %s, %s, %s, 0, %s, %s, '')",
        *(session_id.conversation_id, user, str(session_id), size.items, size.bytes, then, then),
    )


def test_worker_removes_an_expired_session_when_the_schedule_is_due(
    live_database: LiveDatabase, tmp_path: Path
) -> None:
    user = live_database.add_user("owner@example.com")
    file = tmp_path / "agent_sessions.db"
    old, new = (SessionId(user, uuid.uuid4()) for _ in range(2))
    for session_id, days in ((old, 8), (new, 6)):
        size = append_items(file, str(session_id), 4)
        add_session(live_database, user, session_id=session_id, idle=timedelta(days=days), size=size)
    make_due(live_database, DAILY)

    with (
        Collector() as collector,
        worker(live_database, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as process,
    ):
        finished = "SELECT success, result IS NOT NULL FROM django_q_task WHERE func = %s"
        result = eventually(
            lambda: live_database.query(finished, DAILY), within=SCHEDULE_TIMEOUT, what="the worker's task"
        )
        # By the monotonic clock, which all processes of a machine share.
        reported = "SELECT pid, %s - beat_seconds < 20, %s - pass_seconds < 100 FROM sessions_admin_workerheartbeat"
        now = time.monotonic()
        assert live_database.query(reported, now, now) == [(process.pid, True, True)]

    spans = sorted(collector.spans, key=lambda span: span.started)
    stages = ["cleanup.sessions", "cleanup.conversations", "cleanup.digests", "cleanup.file"]
    assert tree(spans) == [("cleanup", stages)]
    found = {name.removeprefix("threadkeeper.cleanup."): value for name, value in spans[0].attributes.items()}
    assert (found["trigger"], found["status"], found["sessions"], found["items"]) == ("schedule", "done", 1, 4)
    runs = "SELECT trigger, status, dry_run, removed_sessions, removed_items, error FROM sessions_admin_cleanuprun"
    assert result == [(True, True)]
    assert live_database.query(runs) == [("schedule", "done", False, 1, 4, "")]
    assert live_database.query("SELECT session_id FROM sessions_admin_cleanedsession") == [(str(old),)]
    assert live_database.query("SELECT session_id FROM chat_agentsession WHERE gone_at IS NULL") == [(str(new),)]
    assert [count_rows(file, session_id) for session_id in (old, new)] == [[0, 0, 0], [4, 1, 1]]
    ((due,),) = live_database.query("SELECT next_run > now() FROM django_q_schedule WHERE func = %s", DAILY)
    assert due
    for table in ("django_q_ormq", "sessions_admin_workerheartbeat"):
        assert live_database.query(f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608


def add_many(database: LiveDatabase, path: Path, user: uuid.UUID, count: int) -> None:
    """Insert sessions of two items, ten days old, into the session file and the database."""
    database.query(
        "INSERT INTO chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position)"
        " SELECT gen_random_uuid(), %s, 'Party', past, past, 0, 0"
        " FROM generate_series(1, %s), (SELECT now() - interval '10 days' AS past) AS ago",
        *(user, count),
    )
    database.query(
        "INSERT INTO chat_agentsession (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,"
        " first_activity_at, last_activity_at, last_error)"
        " SELECT id, user_id, 'user_' || user_id || '_conv_' || id, 2, 4, 0, updated_at, updated_at, ''"
        " FROM chat_conversation"
    )
    ids = database.query("SELECT session_id FROM chat_agentsession")
    with closing(session_file.connect(path, busy_ms=1000)) as file:
        file.execute("BEGIN")
        file.executemany("INSERT INTO agent_sessions (session_id) VALUES (?)", ids)
        file.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, '{}')", ids * 2)
        file.execute("COMMIT")


@pytest.mark.long
def test_next_worker_completes_the_run_of_a_killed_worker(live_database: LiveDatabase, tmp_path: Path) -> None:
    user, path, count = live_database.add_user("owner@example.com"), tmp_path / "agent_sessions.db", 3 * BATCH
    add_many(live_database, path, user, count)
    run_totals = "SELECT status, examined, removed_sessions, removed_items FROM sessions_admin_cleanuprun"
    make_due(live_database, DAILY)

    with worker(live_database, tmp_path) as process:
        started = f"{run_totals} WHERE examined > 0"
        eventually(lambda: live_database.query(started), within=SCHEDULE_TIMEOUT, what="the first batch")
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")  # the worker stays within a batch
            children = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(SECONDS)
            assert psutil.wait_procs(children, timeout=SECONDS)[1] == []
    ((status, examined, removed, items),) = live_database.query(run_totals)
    assert (status, removed, items) == ("running", examined, 2 * examined)
    assert 0 < examined < count

    # Skip the two minutes until the run is stale, and the wait for the next minute.
    live_database.query("UPDATE sessions_admin_cleanuprun SET heartbeat_at = heartbeat_at - interval '3 minutes'")
    make_due(live_database, MINUTELY)
    with worker(live_database, tmp_path):
        eventually(
            lambda: live_database.query(run_totals)[0][0] == "done", within=SCHEDULE_TIMEOUT, what="the run's end"
        )

    assert live_database.query(run_totals) == [("done", count, count, 2 * count)]
    ((log,),) = live_database.query("SELECT log FROM sessions_admin_cleanuprun")
    assert [sentence for _, sentence in log].count(RESUMED) == 1
    cleaned = "SELECT count(DISTINCT session_id), sum(items) FROM sessions_admin_cleanedsession"
    assert live_database.query(cleaned) == [(count, 2 * count)]
    remaining = "SELECT count(*), coalesce(sum(item_count), 0) FROM chat_agentsession WHERE gone_at IS NULL"
    assert live_database.query(remaining) == [(0, 0)]
    with closing(sqlite3.connect(path)) as file:
        for table in ("agent_messages", "agent_sessions", "threadkeeper_turns"):
            assert file.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table  # noqa: S608


PRINT_LOADED_SDK = """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "list_sessions"])
import sessions_admin.tasks
print({"agents", "openai"} & {*sys.modules})
"""


@pytest.mark.long
def test_worker_and_commands_do_not_import_the_sdk(live_database: LiveDatabase, tmp_path: Path) -> None:
    result = run("-c", PRINT_LOADED_SDK, DATABASE_URL=live_database.url, DATA_DIR=str(tmp_path))
    assert result.stdout.splitlines()[-1] == "set()", result.stderr
