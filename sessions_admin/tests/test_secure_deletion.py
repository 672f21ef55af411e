"""Permanently deleted content is unreadable in the session file, its WAL and its copies, however it is deleted."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from chat.conversations import services as conversations
from chat.memory import removal
from chat.memory.corrupt_files import set_aside_files
from chat.models import AgentSession, Conversation, PendingDeletion, Quarantined, User
from sessions_admin.models import Trigger
from sessions_admin.people import erase
from sessions_admin.people.erase import erase_person, newest_report
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.sessions.lifecycle import hold_session, release_session
from sessions_admin.stores.backup import backup
from sessions_admin.stores.checking import check
from sessions_admin.tasks import daily_cleanup, finish_deletions
from sessions_admin.tests.conftest import MakeSession, append_items, command_output

pytestmark = pytest.mark.django_db(transaction=True)

# Begins a read transaction, reports that, and exits when its input is closed.
READING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM agent_messages").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""


@contextmanager
def read_by_another_process(path: Path) -> Iterator[None]:
    command = [sys.executable, "-c", READING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline() == b"reading\n"
            yield
        finally:
            process.stdin.close()
            process.wait(30)


def is_readable(word: str, path: Path) -> bool:
    """Return whether a word is in the bytes of the file (its free pages included), its WAL or a quarantined copy."""
    return any(word.encode() in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


@pytest.fixture(autouse=True)
def _short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "READER_TIMEOUT", 0.1)
    monkeypatch.setattr(erase, "READER_TIMEOUT", 0.1)


@pytest.fixture
def trashed_session(owner: User, make_session: MakeSession) -> AgentSession:
    """A conversation long in the trash, with a session of several pages."""
    session = make_session(owner, items=200)
    Conversation.objects.update(trashed_at=timezone.now() - timedelta(days=90))
    return session


def _purge(session: AgentSession) -> None:
    conversations.purge(user_id=session.user_id, conversation_id=session.conversation_id)


def _empty_trash(session: AgentSession) -> None:
    conversations.empty_trash(user_id=session.user_id)


def _clean_up(session: AgentSession) -> None:
    # Keeps the session from being expired first, so that only the purge of the conversation removes it.
    AgentSession.objects.update(last_activity_at=timezone.now())
    assert cleanup(trigger=Trigger.COMMAND).status == "done"


def _erase(session: AgentSession) -> None:
    erase_person(session.user_id, actor="os:root", reason="asked for it")


DELETIONS: list[Callable[[AgentSession], None]] = [_purge, _empty_trash, _clean_up, _erase]


@pytest.mark.parametrize("delete", DELETIONS)
def test_deleted_content_is_unreadable_at_once(
    delete: Callable[[AgentSession], None], trashed_session: AgentSession, session_file: Path
) -> None:
    append_items(session_file, "another's", 1)
    assert is_readable(trashed_session.session_id, session_file)

    delete(trashed_session)

    assert not is_readable(trashed_session.session_id, session_file)
    assert not is_readable("message 199 of", session_file)
    assert not PendingDeletion.objects.exists()
    assert not OrmQ.objects.filter().exists()


@pytest.mark.parametrize("delete", DELETIONS)
def test_deletion_during_a_read_is_finished_by_the_worker(
    delete: Callable[[AgentSession], None], trashed_session: AgentSession, session_file: Path
) -> None:
    with read_by_another_process(session_file):
        delete(trashed_session)
        assert not Conversation.objects.exists()
        assert is_readable(trashed_session.session_id, session_file)
        assert finish_deletions(seconds=0.1)["is_finished"] is False
        assert {queued.task["func"] for queued in OrmQ.objects.all()} <= {removal.FINISH, erase.FINISH}
        assert OrmQ.objects.exists()

    assert finish_deletions(seconds=0.1)["is_finished"] is True
    assert not is_readable(trashed_session.session_id, session_file)
    assert not is_readable("message 199 of", session_file)
    assert not PendingDeletion.objects.exists()


def test_turns_can_write_while_the_worker_waits_for_a_reader(
    trashed_session: AgentSession, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def write_instead_of_sleeping(_: float) -> None:
        written.append(append_items(session_file, "another's", 1).items)

    with read_by_another_process(session_file):
        _purge(trashed_session)
        monkeypatch.setattr("chat.memory.sync_file.time.sleep", write_instead_of_sleeping)
        assert not removal.finish_deletions(seconds=0.5)
    assert written


def test_erasure_report_is_pending_until_the_deletion_is_finished(
    owner: User, trashed_session: AgentSession, session_file: Path, staff_client: Client
) -> None:
    page = f"/admin/chat/user/{owner.pk}/erased/"
    report_of = partial(command_output, "erase_user", owner.pk, "--report")
    with read_by_another_process(session_file):
        report = erase_person(owner.pk, actor="os:root", reason="asked for it")
        finish_deletions(seconds=0.1)
        assert report.pending
        assert newest_report(owner.pk) == report
        assert any(each.place.startswith("agent_sessions.db") for each in report.remains)
        assert json.loads(report_of("--json"))["pending"] is True
        assert "Pending: " in report_of()
        assert "Only the audit is left" not in report_of()
        assert 'data-testid="pending"' in staff_client.get(page).content.decode()

    finish_deletions()

    finished = newest_report(owner.pk)
    assert finished is not None and not finished.pending and finished.finished_at
    assert not [each for each in finished.remains if each.place.startswith("agent_sessions.db")]
    assert json.loads(report_of("--json"))["pending"] is False
    assert "Only the audit is left." in report_of()
    assert 'data-testid="pending"' not in staff_client.get(page).content.decode()


def _quarantine_copy(path: Path, *words: str) -> Path:
    copy = path.with_name(f"{path.name}.corrupt-20260101T000000000000")
    copy.write_bytes(b"not sqlite at all")
    copy.with_name(f"{copy.name}-wal").write_bytes(" ".join(words).encode())
    Quarantined.objects.create(content=str(copy), reason="The session file was corrupt; this is where it is kept.")
    return copy


@pytest.mark.parametrize("delete", DELETIONS)
def test_quarantined_copy_with_deleted_content_is_removed_with_its_wal(
    delete: Callable[[AgentSession], None], trashed_session: AgentSession, outsider: User, session_file: Path
) -> None:
    copy = _quarantine_copy(session_file, trashed_session.session_id.upper(), str(outsider.pk))

    delete(trashed_session)
    finish_deletions()

    assert set_aside_files(session_file) == {}
    assert "was removed" in Quarantined.objects.get(content=str(copy)).reason
    assert not PendingDeletion.objects.exists()


@pytest.mark.parametrize("words", ["held", "others"])
def test_quarantined_copy_stays_if_unrelated_or_until_a_hold_ends(
    words: str, trashed_session: AgentSession, outsider: User, make_session: MakeSession, session_file: Path
) -> None:
    held = make_session(outsider, idle=timedelta(0))
    hold_session(held.session_id, actor="os:root", reason="a court asked")
    copy = _quarantine_copy(session_file, held.session_id, trashed_session.session_id if words == "held" else "")

    _purge(trashed_session)
    finish_deletions()

    assert set(set_aside_files(session_file)) == {copy}
    assert not PendingDeletion.objects.filter(finished_at=None).exists()
    daily_cleanup()
    assert set(set_aside_files(session_file)) == {copy}

    release_session(held.session_id, actor="os:root", reason="the case is closed")
    daily_cleanup()

    assert set(set_aside_files(session_file)) == (set() if words == "held" else {copy})
    assert not PendingDeletion.objects.exists()


def test_pending_deletion_is_reported_by_check_and_not_backed_up(
    trashed_session: AgentSession, session_file: Path, tmp_path: Path, settings: Settings
) -> None:
    with read_by_another_process(session_file):
        _purge(trashed_session)
        assert check().pending_deletions == 1
        made: Any = backup(tmp_path / "copy.zip", actor="os:root")
    assert PendingDeletion.objects.exists()
    assert made.items == 0
