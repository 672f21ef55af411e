"""The trash is emptied a batch at a time, and whoever brings a chat back meanwhile keeps it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from chat.conversations import services as conversations
from chat.conversations.services import Emptied
from chat.models import Conversation, User
from chat.tests import talk
from config.tests.support import eventually


@pytest.fixture(autouse=True)
def session_file(tmp_path: Path, settings: Settings) -> None:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "agent_sessions.db"


def thrown_away(person: User, count: int) -> list[Conversation]:
    rows = [talk.conversation(person, f"Chat {n}") for n in range(count)]
    Conversation.objects.update(trashed_at=timezone.now())
    return rows


@pytest.mark.django_db
def test_it_takes_as_many_batches_as_are_needed(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "BATCH", 2)
    rows = thrown_away(owner, 5)

    emptied = conversations.empty_trash(user_id=owner.pk)

    assert (sorted(emptied.ids), emptied.left) == (sorted(row.pk for row in rows), 0)
    assert not Conversation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_that_is_restored_meanwhile_stays(owner: User) -> None:
    restored, gone = thrown_away(owner, 2)

    def empty() -> Emptied:
        try:
            return conversations.empty_trash(user_id=owner.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Conversation.objects.locked().get(pk=restored.pk)
            emptying = pool.submit(empty)
            eventually(somebody_waits, what="the wait for the one that is being restored")
            Conversation.objects.filter(pk=restored.pk).update(trashed_at=None)
        emptied = emptying.result(60)

    assert emptied == Emptied((gone.pk,), 0)
    assert list(Conversation.objects.all()) == [restored]


def somebody_waits() -> bool:
    """Return whether another connection waits for what this one has locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])
