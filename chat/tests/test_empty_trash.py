"""The trash is emptied in batches, and a conversation that is restored at the same time is kept."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from chat.conversations import services as conversations
from chat.conversations.services import Emptied
from chat.models import Conversation, User
from chat.tests import stored_turns
from config.tests.support import eventually


@pytest.fixture(autouse=True)
def session_file(tmp_path: Path, settings: Settings) -> None:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "agent_sessions.db"


def trashed(person: User, count: int) -> list[Conversation]:
    rows = [stored_turns.conversation(person, f"Chat {n}") for n in range(count)]
    Conversation.objects.update(trashed_at=timezone.now())
    return rows


@pytest.mark.django_db
def test_empty_trash_deletes_all_batches(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "BATCH", 2)
    rows = trashed(owner, 5)

    emptied = conversations.empty_trash(user_id=owner.pk)

    assert (sorted(emptied.ids), emptied.left) == (sorted(row.pk for row in rows), 0)
    assert not Conversation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_conversation_restored_during_emptying_is_kept(owner: User) -> None:
    restored, deleted = trashed(owner, 2)

    def empty() -> Emptied:
        try:
            return conversations.empty_trash(user_id=owner.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Conversation.objects.locked().get(pk=restored.pk)
            emptying = pool.submit(empty)
            eventually(connection_waits, what="the wait for the lock of the restored conversation")
            Conversation.objects.filter(pk=restored.pk).update(trashed_at=None)
        emptied = emptying.result(60)

    assert emptied == Emptied((deleted.pk,), 0)
    assert list(Conversation.objects.all()) == [restored]


def connection_waits() -> bool:
    """Return whether another connection waits for a lock of this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])
