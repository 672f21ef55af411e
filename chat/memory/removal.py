"""Delete conversations permanently, from both stores, until none of their data is readable in the session file.

Deleted bytes stay in SQLite's log as long as a reader needs it. So each deletion is recorded in its transaction, and
finished after it: immediately if possible, otherwise by the worker.
"""

import logging
from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from chat.exceptions import MemoryUnavailable
from chat.memory import sync_file
from chat.memory.configured import unused
from chat.memory.corrupt_files import remove_set_aside, set_aside_files
from chat.memory.identity import SessionId
from chat.memory.sync_store import READER_TIMEOUT, SyncStore
from chat.models import Conversation, PendingDeletion
from chat.models.sql import change

logger = logging.getLogger(__name__)

FINISH = "chat.memory.removal.finish_deletions"
WORKER_TIMEOUT = 10.0  # seconds per minute

# The queryset's own method loads every row that refers to another one.
_TURNS = "SELECT id FROM chat_turn WHERE conversation_id = ANY(%(ids)s)"
_DELETE = (
    f"DELETE FROM chat_taskchange WHERE turn_id IN ({_TURNS})",  # noqa: S608
    f"DELETE FROM chat_toolcall WHERE turn_id IN ({_TURNS})",  # noqa: S608 - our own words
    f"DELETE FROM chat_turnstep WHERE turn_id IN ({_TURNS})",  # noqa: S608
    "DELETE FROM chat_message WHERE conversation_id = ANY(%(ids)s)",
    "DELETE FROM chat_turn WHERE conversation_id = ANY(%(ids)s)",
    "DELETE FROM chat_agentsession WHERE conversation_id = ANY(%(ids)s)",
    "DELETE FROM chat_quarantined WHERE session_id = ANY(%(sessions)s)",
    "DELETE FROM chat_conversation WHERE id = ANY(%(ids)s)",
)


def remove_for_good(file: SyncStore, conversations: Sequence[Conversation]) -> None:
    """Delete conversations and their sessions within the caller's transaction, which has locked them.

    The file is written last, right before the caller commits: a crash between the two leaves a conversation without a
    session, as an expired one. Raise MemoryUnavailable.
    """
    if not conversations:
        return
    sessions = [str(SessionId(conversation.user_id, conversation.pk)) for conversation in conversations]
    values = {"ids": [conversation.pk for conversation in conversations], "sessions": sessions}
    for statement in _DELETE:
        change(statement, values)
    noted = note_deletion(sessions)
    with unused() as others:
        for store in (*others, file):
            store.secure_delete(sessions)
    transaction.on_commit(lambda: _finish_or_enqueue(noted), robust=True)


def note_deletion(terms: Sequence[str]) -> PendingDeletion:
    """Record within the caller's transaction that deleted data may still be readable in the session file."""
    has_copies = bool(set_aside_files(settings.AGENT_SESSION_DB_PATH))
    return PendingDeletion.objects.create(terms=list(terms) if has_copies else [])


def finish_deletions(*, seconds: float = WORKER_TIMEOUT) -> bool:
    """Remove deleted data from the session file; return whether none is readable.

    Waits up to `seconds` for readers of the file. The rest is left for the next call.
    """
    pending = list(PendingDeletion.objects.filter(finished_at=None).order_by("pk"))
    try:
        return not pending or _finish(pending, seconds)
    except (MemoryUnavailable, OSError) as error:
        logger.warning("Deleted data cannot be removed from the session file yet: %s", error)
        return False


def remove_released_copies() -> None:
    """Remove the corrupt session files with deleted data that a hold kept, once it is released."""
    waiting = PendingDeletion.objects.exclude(finished_at=None).exclude(terms=[])
    terms = sorted({term for row in waiting for term in row.terms})
    try:
        if not terms or not remove_set_aside(settings.AGENT_SESSION_DB_PATH, terms):
            return
    except OSError as error:  # the next call tries again
        logger.warning("Corrupt session files with deleted data cannot be removed yet: %s", error)
        return
    waiting.filter(report=None).delete()
    waiting.update(terms=[])


def _finish(pending: Sequence[PendingDeletion], seconds: float) -> bool:
    path, rows = settings.AGENT_SESSION_DB_PATH, PendingDeletion.objects.filter(pk__in=[row.pk for row in pending])
    terms = sorted({term for row in pending for term in row.terms})
    if remove_set_aside(path, terms):
        rows.update(terms=[])
    if path.exists():
        with sync_file.opened(path) as file:
            if not file.purge_removed(seconds=seconds):
                return False
    rows.filter(report=None, terms=[]).delete()
    rows.update(finished_at=timezone.now())
    return True


def _finish_or_enqueue(noted: PendingDeletion) -> None:
    """Finish a deletion that was committed. While an earlier one waits for a reader, each later batch tries once."""
    is_first = not PendingDeletion.objects.filter(pk__lt=noted.pk, finished_at=None).exists()
    # Searching copies is slow.
    is_done = not noted.terms and finish_deletions(seconds=READER_TIMEOUT if is_first else 0)
    if not is_done and is_first:
        enqueue()


def enqueue(task: str = FINISH) -> None:
    """Let the worker finish deletions; it also checks every minute."""
    async_task(task, task_name="Finish a deletion", group="deletion")
