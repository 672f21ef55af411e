"""Retention of conversations: inactive ones are moved to the trash, and later deleted, in small batches.

This is a stage of a clean-up and is recorded with it. A preview runs the same code, and changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from chat.memory.configured import opened
from chat.memory.removal import remove_for_good
from chat.models import Conversation
from chat.models.retention import to_purge, to_trash
from sessions_admin.models import CleanedConversation, CleanupRun
from sessions_admin.reports import OnProgress, batches, ignore_progress
from sessions_admin.retention import runs

BATCH = 100  # conversations locked at once, for as long as a returning user may have to wait

CheckContinue = Callable[[], None]


@dataclass(frozen=True, slots=True)
class ConversationForecast:
    """What retention would do now."""

    trashed: int
    purged: int


def forecast_conversations() -> ConversationForecast:
    """Count the conversations that a clean-up would move to the trash, and delete permanently."""
    now = timezone.now()
    return ConversationForecast(to_trash(now).count(), to_purge(now).count())


def apply_retention(
    run: CleanupRun, *, check_continue: CheckContinue, on_progress: OnProgress = ignore_progress
) -> None:
    """Delete expired conversations in the trash, then move inactive ones to the trash.

    Held and pinned conversations stay, and those with an active turn. `check_continue` is called before each batch, and
    raises to end the run. Raise MemoryUnavailable, and what `check_continue` raises.
    """
    # The clock was compared with the run's start.
    now = run.started_at or timezone.now()
    stages = [(to_purge(now), _purge), (to_trash(now), _trash)]
    chosen = [list(due.order_by("pk").values_list("pk", flat=True)) for due, _ in stages]
    done, total = 0, sum(map(len, chosen))
    if total:
        numbers = f"{len(chosen[1]):,} to trash, {len(chosen[0]):,} to delete permanently"
        runs.log(run, f"{total:,} conversations: {numbers}.")
    for (due, take), ids in zip(stages, chosen, strict=True):
        for batch in batches(ids, BATCH):
            check_continue()  # outside the transaction, which would block a stop request
            with transaction.atomic(durable=True):
                # Those with an active turn are skipped.
                locked = Conversation.objects.filter(pk__in=batch).locked(skip_locked=True).values_list("pk", flat=True)
                # A separate query sees what was committed before the locks were taken.
                take(run, list(due.filter(pk__in=list(locked))))
            done += len(batch)
            on_progress(done, total)


def _purge(run: CleanupRun, conversations: Sequence[Conversation]) -> None:
    _record(run, conversations, is_purged=True)
    runs.add_counts(run, purged_conversations=len(conversations))
    if conversations and not run.dry_run:
        with opened() as file:
            remove_for_good(file, conversations)


def _trash(run: CleanupRun, conversations: Sequence[Conversation]) -> None:
    _record(run, conversations, is_purged=False)
    runs.add_counts(run, trashed_conversations=len(conversations))
    if not run.dry_run:
        Conversation.objects.filter(pk__in=[row.pk for row in conversations]).update(trashed_at=timezone.now())


def _record(run: CleanupRun, conversations: Sequence[Conversation], *, is_purged: bool) -> None:
    named = runs.remaining_details(run, run.conversations.all(), len(conversations))
    CleanedConversation.objects.bulk_create(
        CleanedConversation(
            run=run,
            user_id=row.user_id,
            conversation_id=row.pk,
            is_purged=is_purged,
            messages=row.last_position,
            updated_at=row.updated_at,
        )
        for row in conversations[:named]
    )
