"""What retention does with conversations, and what it leaves alone."""

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
from chat.tests import talk
from sessions_admin.models import CleanedConversation, CleanupRun, RunStatus, Trigger
from sessions_admin.retention import conversations, runs
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.retention.conversations import forecast_conversations
from sessions_admin.tests.conftest import BOTH_STORES, GivenSession, InThread, give_turn, printed, shown, stored

MONTH = timedelta(days=30)
RUNS = "/admin/sessions_admin/cleanuprun/"


def in_trash(user: User, since: timedelta) -> Conversation:
    row = talk.conversation(user, at=timezone.now() - 3 * MONTH)
    Conversation.objects.filter(pk=row.pk).update(trashed_at=timezone.now() - since)
    return row


def begun() -> CleanupRun:
    """Return a run that is ours."""
    run = CleanupRun.objects.create(trigger=Trigger.COMMAND)
    assert runs.claim(run)
    return run


@BOTH_STORES
def test_what_was_done_is_recorded_and_counted(owner: User, outsider: User, session_file: Path) -> None:
    silent = talk.conversation(owner, at=timezone.now() - MONTH)
    talk.say(silent, "Add milk")
    Conversation.objects.update(updated_at=timezone.now() - MONTH)
    old = in_trash(outsider, MONTH)
    talk.conversation(owner, at=timezone.now() - MONTH + timedelta(minutes=1))
    in_trash(owner, MONTH - timedelta(minutes=1))
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
def test_a_preview_changes_nothing_and_says_the_same(owner: User, session_file: Path) -> None:
    talk.conversation(owner, at=timezone.now() - MONTH)
    in_trash(owner, MONTH)
    before = list(Conversation.objects.order_by("pk").values())

    cleanup(trigger=Trigger.COMMAND, dry_run=True)

    assert list(Conversation.objects.order_by("pk").values()) == before
    cleanup(trigger=Trigger.COMMAND)
    preview, real = CleanupRun.objects.order_by("created_at")
    for run in (preview, real):
        assert (run.trashed_conversations, run.purged_conversations) == (1, 1)
    told = [set(run.conversations.values_list("conversation_id", "is_purged")) for run in (preview, real)]
    assert told[0] == told[1]


@BOTH_STORES
def test_what_was_purged_leaves_its_session_nowhere(
    owner: User, given_session: GivenSession, session_file: Path
) -> None:
    session = given_session(owner, idle=timedelta(days=1))
    Conversation.objects.update(trashed_at=timezone.now() - MONTH)
    assert stored(session_file, session) == [4, 1, 1]
    cleanup(trigger=Trigger.COMMAND)
    assert stored(session_file, session) == [0, 0, 0]
    assert not Conversation.objects.exists()


@BOTH_STORES
@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.WAITING])
def test_while_a_turn_has_not_ended_nothing_happens(owner: User, given_session: GivenSession, status: Status) -> None:
    silent, trashed = given_session(owner), given_session(owner)
    for session in (silent, trashed):
        give_turn(session, status)
    Conversation.objects.update(updated_at=timezone.now() - 2 * MONTH)
    Conversation.objects.filter(session=trashed).update(trashed_at=timezone.now() - MONTH)
    cleanup(trigger=Trigger.COMMAND)
    assert (Conversation.objects.count(), CleanedConversation.objects.count()) == (2, 0)


@BOTH_STORES
def test_the_days_of_silence_are_a_setting(owner: User, session_file: Path, settings: Settings) -> None:
    settings.CONVERSATION_RETENTION_DAYS = 3
    rows = [talk.conversation(owner, at=timezone.now() - timedelta(days=days)) for days in (2.9, 3.1)]
    cleanup(trigger=Trigger.COMMAND)
    assert list(Conversation.objects.filter(trashed_at__isnull=False)) == rows[1:]


@BOTH_STORES
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_purged", [False, True])
def test_one_in_which_somebody_is_at_work_is_passed_over(owner: User, session_file: Path, is_purged: bool) -> None:
    busy, other = (
        in_trash(owner, MONTH) if is_purged else talk.conversation(owner, at=timezone.now() - MONTH) for _ in range(2)
    )
    with transaction.atomic():
        Conversation.objects.locked().get(pk=busy.pk)
        InThread(cleanup, trigger=Trigger.COMMAND).join()
    assert list(CleanedConversation.objects.values_list("conversation_id", flat=True)) == [other.pk]


@BOTH_STORES
def test_one_that_woke_up_after_it_was_chosen_is_left_alone(owner: User, session_file: Path) -> None:
    sleeping, woken = (talk.conversation(owner, at=timezone.now() - MONTH) for _ in range(2))

    def go_on() -> None:
        Conversation.objects.filter(pk=woken.pk).update(updated_at=timezone.now())

    conversations.apply_retention(begun(), check_continue=go_on)
    assert list(Conversation.objects.filter(trashed_at__isnull=False)) == [sleeping]


def test_where_the_session_file_cannot_be_used_nothing_is_purged(owner: User, session_file: Path) -> None:
    row = in_trash(owner, MONTH)
    session_file.write_bytes(b"this is no database at all, only text" * 100)
    with pytest.raises(MemoryUnavailable):
        conversations.apply_retention(begun(), check_continue=lambda: None)
    assert Conversation.objects.filter(pk=row.pk).exists()
    assert not CleanedConversation.objects.exists()


@BOTH_STORES
def test_more_than_a_batch_is_done_with_as_many_statements_a_batch(
    owner: User,
    session_file: Path,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversations, "BATCH", 10)
    then = timezone.now() - MONTH
    Conversation.objects.bulk_create(Conversation(user=owner, updated_at=then) for _ in range(21))
    told: list[tuple[int, int]] = []
    run = begun()
    with django_assert_max_num_queries(2 + 3 * 8):
        conversations.apply_retention(run, check_continue=lambda: None, on_progress=lambda *done: told.append(done))
    assert told == [(10, 21), (20, 21), (21, 21)]
    assert not Conversation.objects.filter(trashed_at=None).exists()


def test_what_is_due_is_found_by_an_index(owner: User) -> None:
    now = timezone.now()
    Conversation.objects.bulk_create(Conversation(user=owner, updated_at=now) for _ in range(3000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE chat_conversation")
    assert "conversation_silent" in to_trash(now).explain()
    assert "conversation_trashed" in to_purge(now).explain()


@BOTH_STORES
def test_a_run_ends_well_where_there_is_nothing_to_do(session_file: Path, db: None) -> None:
    assert cleanup(trigger=Trigger.COMMAND).status == RunStatus.DONE


# What staff see of it.


@BOTH_STORES
def test_who_asks_for_a_clean_up_is_told_what_it_does_to_conversations(
    owner: User, session_file: Path, manager_client: Client, settings: Settings
) -> None:
    settings.CONVERSATION_RETENTION_DAYS = 20
    for _ in range(2):
        talk.conversation(owner, at=timezone.now() - MONTH)
    in_trash(owner, MONTH)
    for page in ("run", "preview"):
        text = shown(manager_client.get(f"{RUNS}{page}/").text)
        assert "2 conversations to the trash" in text and "1 conversation permanently deleted" in text
        assert ("without a message for 20 days" in text) == (page == "run")


@BOTH_STORES
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_runs_page_lists_its_conversations_without_a_word_of_them(
    owner: User, outsider: User, session_file: Path, viewer_client: Client, dry_run: bool
) -> None:
    silent = talk.conversation(owner, "A secret errand", at=timezone.now() - MONTH)
    purged = in_trash(outsider, MONTH)
    run = cleanup(trigger=Trigger.COMMAND, dry_run=dry_run).run_id
    text = shown(viewer_client.get(f"{RUNS}{run}/change/").text)
    assert ("Conversations to move or delete" if dry_run else "Moved or deleted conversations") in text
    assert f"outsider@example.com {purged.pk} Delete permanently" in text
    assert f"owner@example.com {silent.pk} Move to the trash" in text
    assert "2 conversations: 1 to trash, 1 to delete permanently." in text
    assert "Conversations moved to the trash 1 Conversations permanently deleted 1" in text
    assert "secret" not in text


@BOTH_STORES
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "Moved 1 conversation to the trash, permanently deleted 1."),
        (("--dry-run",), "Would move 1 conversation to the trash, permanently delete 1."),
    ],
)
def test_the_command_tells_of_conversations(
    owner: User, session_file: Path, options: tuple[str, ...], told: str
) -> None:
    talk.conversation(owner, at=timezone.now() - MONTH)
    in_trash(owner, MONTH)
    assert told in printed("cleanup_sessions", *options)
    printed("cleanup_sessions")
    assert "conversation" not in printed("cleanup_sessions")
