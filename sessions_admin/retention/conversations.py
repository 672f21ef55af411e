"""Retention of conversations: silent ones go to the trash, and later are deleted, in small batches.

A stage of a clean-up, recorded with it. A preview is the same code, and changes nothing.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chat.memory.removal import remove_for_good
from chat.memory.sync_store import opened
from chat.models import Conversation
from chat.models.conversation import ConversationQuerySet
from chat.models.retention import to_purge, to_trash
from sessions_admin.models import CleanedConversation, CleanupRun
from sessions_admin.retention import runs

BATCH = 100  # conversations locked at once, for as long as a returning user may have to wait

GoOn = Callable[[], None]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ConversationForecast:
    """What retention would do at this moment."""

    trashed: int
    purged: int


def forecast_conversations() -> ConversationForecast:
    """Count the conversations that a clean-up at this moment would move to the trash, and delete for good."""
    now = timezone.now()
    return ConversationForecast(to_trash(now).count(), to_purge(now).count())


def retain(run: CleanupRun, *, go_on: GoOn, on_progress: OnProgress = lambda done, total: None) -> None:
    """Delete for good what was in the trash for long enough, then move to the trash what was silent for long enough.

    Held and pinned ones stay, and those in which a turn has not ended. `go_on` is called before each batch, and raises
    where there is to be no more. Raise MemoryUnavailable, and what `go_on` raises.
    """
    # The clock was checked against the run's beginning.
    now = run.started_at or timezone.now()
    stages = [(to_purge(now), _purge), (to_trash(now), _trash)]
    chosen = [list(due.order_by("pk").values_list("pk", flat=True)) for due, _ in stages]
    done, total = 0, sum(map(len, chosen))
    if total:
        runs.log(run, f"{total:,} conversations: {len(chosen[1]):,} to the trash, {len(chosen[0]):,} for good.")
    for (due, take), ids in zip(stages, chosen, strict=True):
        for batch in _batches(ids):
            go_on()  # outside the transaction: a request to stop would wait for its end
            with transaction.atomic(durable=True):
                take(run, _locked(due, batch))
            done += len(batch)
            on_progress(done, total)


def _batches(chosen: Sequence[uuid.UUID]) -> Iterator[Sequence[uuid.UUID]]:
    for start in range(0, len(chosen), BATCH):
        yield chosen[start : start + BATCH]


def _locked(due: ConversationQuerySet, chosen: Sequence[uuid.UUID]) -> list[Conversation]:
    """Lock the chosen conversations that are still due; one with an active turn is skipped.

    The question is asked again in a statement of its own, which sees what was committed before the locks were taken.
    """
    locked = Conversation.objects.filter(pk__in=chosen).locked(skip_locked=True)
    return list(due.filter(pk__in=list(locked.values_list("pk", flat=True))))


def _purge(run: CleanupRun, conversations: Sequence[Conversation]) -> None:
    _record(run, conversations, is_purged=True)
    runs.count(run, purged_conversations=len(conversations))
    if conversations and not run.dry_run:
        with opened(settings.AGENT_SESSION_DB_PATH) as file:
            remove_for_good(file, conversations)


def _trash(run: CleanupRun, conversations: Sequence[Conversation]) -> None:
    _record(run, conversations, is_purged=False)
    runs.count(run, trashed_conversations=len(conversations))
    if not run.dry_run:
        Conversation.objects.filter(pk__in=[row.pk for row in conversations]).update(trashed_at=timezone.now())


def _record(run: CleanupRun, conversations: Sequence[Conversation], *, is_purged: bool) -> None:
    named = runs.left_to_name(run, run.conversations.all(), len(conversations))
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
