"""Retention moves idle conversations to the trash, purges old trash and keeps the rest."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from chat.exceptions import MemoryUnavailable
from chat.models import Conversation, User
from chat.models.retention import to_purge, to_trash
from chat.models.turn import Status
from chat.tests import stored_turns
from sessions_admin.models import CleanedConversation, CleanupRun, RunStatus, Trigger
from sessions_admin.retention import conversations, runs
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.retention.conversations import forecast_conversations
from sessions_admin.tests.conftest import (
    BOTH_STORES,
    InThread,
    MakeSession,
    command_output,
    count_rows,
    create_turn,
    text_of,
)

MONTH = timedelta(days=30)
RUNS = "/admin/sessions_admin/cleanuprun/"


def create_trashed(user: User, since: timedelta) -> Conversation:
    row = stored_turns.conversation(user, at=timezone.now() - 3 * MONTH)
    Conversation.objects.filter(pk=row.pk).update(trashed_at=timezone.now() - since)
    return row


def claimed_run() -> CleanupRun:
    """Return a run that this process has claimed."""
    run = CleanupRun.objects.create(trigger=Trigger.COMMAND)
    assert runs.claim(run)
    return run


@BOTH_STORES
def test_trashed_and_purged_conversations_are_recorded_and_counted(
    owner: User, outsider: User, session_file: Path
) -> None:
    silent = stored_turns.conversation(owner, at=timezone.now() - MONTH)
    stored_turns.add_turn(silent, "Add milk")
    Conversation.objects.update(updated_at=timezone.now() - MONTH)
    old = create_trashed(outsider, MONTH)
    stored_turns.conversation(owner, at=timezone.now() - MONTH + timedelta(minutes=1))
    create_trashed(owner, MONTH - timedelta(minutes=1))
    assert forecast_conversations() == conversations.ConversationForecast(1, 1)

    cleanup(trigger=Trigger.COMMAND)

    run = CleanupRun.objects.get()
    assert (run.trashed_conversations, run.purged_conversations) == (1, 1)
    fields = ("run", "user", "conversation_id", "is_purged", "messages")
    assert set(CleanedConversation.objects.values_list(*fields)) == {
        (run.pk, owner.pk, silent.pk, False, 2),
        (run.pk, outsider.pk, old.pk, True, 0),
    }
    silent.refresh_from_db()
    assert silent.trashed_at and not Conversation.objects.filter(pk=old.pk).exists()


@BOTH_STORES
def test_preview_changes_nothing_and_lists_the_same_conversations(owner: User, session_file: Path) -> None:
    stored_turns.conversation(owner, at=timezone.now() - MONTH)
    create_trashed(owner, MONTH)
    before = list(Conversation.objects.order_by("pk").values())

    cleanup(trigger=Trigger.COMMAND, dry_run=True)

    assert list(Conversation.objects.order_by("pk").values()) == before
    cleanup(trigger=Trigger.COMMAND)
    preview, real = CleanupRun.objects.order_by("created_at")
    for run in (preview, real):
        assert (run.trashed_conversations, run.purged_conversations) == (1, 1)
    reported = [set(run.conversations.values_list("conversation_id", "is_purged")) for run in (preview, real)]
    assert reported[0] == reported[1]


@BOTH_STORES
def test_purged_conversation_is_deleted_with_its_session(
    owner: User, make_session: MakeSession, session_file: Path
) -> None:
    session = make_session(owner, idle=timedelta(days=1))
    Conversation.objects.update(trashed_at=timezone.now() - MONTH)
    assert count_rows(session_file, session) == [4, 1, 1]
    cleanup(trigger=Trigger.COMMAND)
    assert count_rows(session_file, session) == [0, 0, 0]
    assert not Conversation.objects.exists()


@BOTH_STORES
@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.WAITING])
def test_conversation_with_an_open_turn_is_kept(owner: User, make_session: MakeSession, status: Status) -> None:
    silent, trashed = make_session(owner), make_session(owner)
    for session in (silent, trashed):
        create_turn(session, status)
    Conversation.objects.update(updated_at=timezone.now() - 2 * MONTH)
    Conversation.objects.filter(session=trashed).update(trashed_at=timezone.now() - MONTH)
    cleanup(trigger=Trigger.COMMAND)
    assert (Conversation.objects.count(), CleanedConversation.objects.count()) == (2, 0)


@BOTH_STORES
def test_retention_days_are_configurable(owner: User, session_file: Path, settings: Settings) -> None:
    settings.CONVERSATION_RETENTION_DAYS = 3
    rows = [stored_turns.conversation(owner, at=timezone.now() - timedelta(days=days)) for days in (2.9, 3.1)]
    cleanup(trigger=Trigger.COMMAND)
    assert list(Conversation.objects.filter(trashed_at__isnull=False)) == rows[1:]


@BOTH_STORES
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_purged", [False, True])
def test_locked_conversation_is_skipped(owner: User, session_file: Path, is_purged: bool) -> None:
    busy, other = (
        create_trashed(owner, MONTH) if is_purged else stored_turns.conversation(owner, at=timezone.now() - MONTH)
        for _ in range(2)
    )
    with transaction.atomic():
        Conversation.objects.locked().get(pk=busy.pk)
        InThread(cleanup, trigger=Trigger.COMMAND).join()
    assert list(CleanedConversation.objects.values_list("conversation_id", flat=True)) == [other.pk]


@BOTH_STORES
def test_conversation_that_becomes_active_after_selection_is_kept(owner: User, session_file: Path) -> None:
    idle, active = (stored_turns.conversation(owner, at=timezone.now() - MONTH) for _ in range(2))

    def become_active() -> None:
        Conversation.objects.filter(pk=active.pk).update(updated_at=timezone.now())

    conversations.apply_retention(claimed_run(), check_continue=become_active)
    assert list(Conversation.objects.filter(trashed_at__isnull=False)) == [idle]


def test_nothing_is_purged_if_the_session_file_is_unusable(owner: User, session_file: Path) -> None:
    row = create_trashed(owner, MONTH)
    session_file.write_bytes(b"this is no database at all, only text" * 100)
    with pytest.raises(MemoryUnavailable):
        conversations.apply_retention(claimed_run(), check_continue=lambda: None)
    assert Conversation.objects.filter(pk=row.pk).exists()
    assert not CleanedConversation.objects.exists()


@BOTH_STORES
def test_number_of_statements_per_batch_is_constant(
    owner: User,
    session_file: Path,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversations, "BATCH", 10)
    then = timezone.now() - MONTH
    Conversation.objects.bulk_create(Conversation(user=owner, updated_at=then) for _ in range(21))
    reported: list[tuple[int, int]] = []
    run = claimed_run()
    with django_assert_max_num_queries(2 + 3 * 8):
        conversations.apply_retention(run, check_continue=lambda: None, on_progress=lambda *done: reported.append(done))
    assert reported == [(10, 21), (20, 21), (21, 21)]
    assert not Conversation.objects.filter(trashed_at=None).exists()


def test_indexes_are_used_to_find_due_conversations(owner: User) -> None:
    now = timezone.now()
    Conversation.objects.bulk_create(Conversation(user=owner, updated_at=now) for _ in range(3000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE chat_conversation")
    assert "conversation_silent" in to_trash(now).explain()
    assert "conversation_trashed" in to_purge(now).explain()


@BOTH_STORES
def test_run_with_nothing_to_do_completes(session_file: Path, db: None) -> None:
    assert cleanup(trigger=Trigger.COMMAND).status == RunStatus.DONE


# The admin pages and the command.


@BOTH_STORES
def test_cleanup_pages_show_the_effect_on_conversations(
    owner: User, session_file: Path, manager_client: Client, settings: Settings
) -> None:
    settings.CONVERSATION_RETENTION_DAYS = 20
    for _ in range(2):
        stored_turns.conversation(owner, at=timezone.now() - MONTH)
    create_trashed(owner, MONTH)
    for page in ("run", "preview"):
        text = text_of(manager_client.get(f"{RUNS}{page}/").text)
        assert "2 conversations to the trash" in text and "1 conversation permanently deleted" in text
        assert ("without a message for 20 days" in text) == (page == "run")


@BOTH_STORES
@pytest.mark.parametrize("dry_run", [False, True])
def test_run_page_lists_conversations_without_their_titles(
    owner: User, outsider: User, session_file: Path, viewer_client: Client, dry_run: bool
) -> None:
    silent = stored_turns.conversation(owner, "A secret errand", at=timezone.now() - MONTH)
    purged = create_trashed(outsider, MONTH)
    run = cleanup(trigger=Trigger.COMMAND, dry_run=dry_run).run_id
    text = text_of(viewer_client.get(f"{RUNS}{run}/change/").text)
    assert ("Conversations to move or delete" if dry_run else "Moved or deleted conversations") in text
    assert f"outsider@example.com {purged.pk} Delete permanently" in text
    assert f"owner@example.com {silent.pk} Move to the trash" in text
    assert "2 conversations: 1 to trash, 1 to delete permanently." in text
    assert "Conversations moved to the trash 1 Conversations permanently deleted 1" in text
    assert "secret" not in text


@BOTH_STORES
@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ((), "Moved 1 conversation to the trash, permanently deleted 1."),
        (("--dry-run",), "Would move 1 conversation to the trash, permanently delete 1."),
    ],
)
def test_command_reports_trashed_and_purged_conversations(
    owner: User, session_file: Path, options: tuple[str, ...], reported: str
) -> None:
    stored_turns.conversation(owner, at=timezone.now() - MONTH)
    create_trashed(owner, MONTH)
    assert reported in command_output("cleanup_sessions", *options)
    command_output("cleanup_sessions")
    assert "conversation" not in command_output("cleanup_sessions")
