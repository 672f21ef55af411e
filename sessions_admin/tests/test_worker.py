"""The daily clean-up by a real worker process."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from chat.memory.identity import SessionId
from chat.memory.statements import Size
from config.processes import spawn
from config.tests.support import ROOT, SECONDS, LiveDatabase, clean_environment, eventually
from sessions_admin.schedules import DAILY
from sessions_admin.tests.conftest import remember, stored

# The worker looks at its schedule every 30 seconds.
NEXT_LOOK = 120.0


@contextmanager
def worker(database: LiveDatabase, data_dir: Path) -> Iterator[None]:
    """Run `manage.py qcluster` for a while."""
    with open(data_dir / "worker.log", "ab") as log:
        process = spawn(
            [sys.executable, "manage.py", "qcluster"],
            env=clean_environment(DATABASE_URL=database.url, DATA_DIR=str(data_dir)),
            output=log,
            cwd=ROOT,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(SECONDS)


def add_session(database: LiveDatabase, user: uuid.UUID, *, session_id: SessionId, idle: timedelta, size: Size) -> None:
    """Put a conversation and the mirror of its session into the record."""
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


@pytest.mark.service
def test_a_worker_removes_a_session_eight_days_old_when_its_schedule_is_due(
    live_database: LiveDatabase, tmp_path: Path
) -> None:
    user = live_database.add_user("owner@example.com")
    file = tmp_path / "agent_sessions.db"
    old, new = (SessionId(user, uuid.uuid4()) for _ in range(2))
    for session_id, days in ((old, 8), (new, 6)):
        size = remember(file, str(session_id), 4)
        add_session(live_database, user, session_id=session_id, idle=timedelta(days=days), size=size)
    live_database.query("UPDATE django_q_schedule SET next_run = now() - interval '1 minute' WHERE func = %s", DAILY)

    with worker(live_database, tmp_path):
        finished = "SELECT success, result IS NOT NULL FROM django_q_task"
        result = eventually(lambda: live_database.query(finished), within=NEXT_LOOK, what="the worker's task")

    runs = "SELECT trigger, status, dry_run, removed_sessions, removed_items, error FROM sessions_admin_cleanuprun"
    assert result == [(True, True)]
    assert live_database.query(runs) == [("schedule", "done", False, 1, 4, "")]
    assert live_database.query("SELECT session_id FROM sessions_admin_cleanedsession") == [(str(old),)]
    assert live_database.query("SELECT session_id FROM chat_agentsession WHERE gone_at IS NULL") == [(str(new),)]
    assert [stored(file, session_id) for session_id in (old, new)] == [[0, 0, 0], [4, 1, 1]]
    ((due,),) = live_database.query("SELECT next_run > now() FROM django_q_schedule")
    assert due
    assert live_database.query("SELECT count(*) FROM django_q_ormq") == [(0,)]
