"""What a person does with a conversation: begin or name it, pin or archive it, throw it away, bring it back, delete it.

Each verb locks the conversation and makes sure that it is the person's. Whatever they do with one but throw it away
means that the user still wants it: its retention period starts again.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from chat.assistant.model_config import check_name
from chat.conversations.listing import conversation_out
from chat.exceptions import BadInput, Conflict, TooLong
from chat.infra import notifications
from chat.infra.database_limits import long_statements
from chat.infra.lookup import get_one
from chat.infra.visible import has_visible, one_line
from chat.memory.configured import opened
from chat.memory.removal import remove_for_good
from chat.models import Conversation, Turn
from chat.models.conversation import TITLE_LENGTH
from chat.models.retention import in_trash, leaving
from chat.models.turn import ACTIVE, Status
from chat.read_models import ConversationOut
from chat.search.index import index_title
from chat.turns import process
from chat.turns.accept_context import create_conversation
from chat.turns.cancel import cancel

BATCH = 100
KEPT_BY_STAFF = "Your administrator has asked to keep this chat for now."


@dataclass(frozen=True, slots=True)
class Purged:
    """A conversation that was deleted for good."""

    id: uuid.UUID
    title: str
    messages: int


@dataclass(frozen=True, slots=True)
class Emptied:
    """The conversations that were deleted for good, and how many stay: held, or with an active turn."""

    ids: tuple[uuid.UUID, ...]
    left: int


@dataclass(slots=True)
class _Locked:
    """A conversation, with its session, that is locked until the transaction ends."""

    row: Conversation
    now: datetime

    def save(self, *, wanted: bool = True, **fields: datetime | None) -> ConversationOut:
        """Save fields, and keep the conversation from retention for now if `wanted`."""
        if wanted:
            fields["kept_at"] = self.now
        for name, value in fields.items():
            setattr(self.row, name, value)
        self.row.save(update_fields=list(fields))
        return conversation_out(self.row)

    def set_title(self, title: str) -> None:
        """Set the title. Raise BadInput, TooLong."""
        self.row.title = title_of(title)
        if not self.row.title:
            raise BadInput("A chat needs a title.")
        self.row.save(update_fields=["title"])

    def refuse_held(self) -> None:
        """Raise Conflict under a legal hold; the reason is not revealed."""
        session = getattr(self.row, "session", None)
        if session is not None and session.is_held:
            raise Conflict(KEPT_BY_STAFF)


def begin(
    *, user_id: uuid.UUID, conversation_id: uuid.UUID | None = None, title: str = "", model: str = ""
) -> ConversationOut:
    """Create a conversation without messages; without a title it takes one from its first message.

    Without a `model` the default answers. With the id of a conversation of the user nothing changes. Raise NotFound for
    the id of another user's, BadInput, TooLong, TooManyConversations.
    """
    title, key = title_of(title), conversation_id or uuid.uuid4()
    with transaction.atomic():
        create_conversation(
            user_id=user_id,
            conversation_id=key,
            now=timezone.now(),
            title=title,
            model=check_name(model) if model else "",
        )
        with _locked(user_id, key) as locked:
            index_title(conversation_id=locked.row.pk, user_id=user_id, title=locked.row.title)
            return conversation_out(locked.row)


def rename(*, user_id: uuid.UUID, conversation_id: uuid.UUID, title: str) -> ConversationOut:
    """Rename a conversation. Raise NotFound, Conflict in the trash, BadInput, TooLong."""
    with _not_in_trash(user_id, conversation_id) as locked:
        locked.set_title(title)
        return locked.save()


def change(
    *, user_id: uuid.UUID, conversation_id: uuid.UUID, title: str | None = None, model: str | None = None
) -> ConversationOut:
    """Change a conversation's title, or the model that answers from the next turn on.

    Raise NotFound, Conflict in the trash, BadInput, TooLong.
    """
    name = None if model is None else check_name(model)
    with _not_in_trash(user_id, conversation_id) as locked:
        if title is not None:
            locked.set_title(title)
        locked.row.model = locked.row.model if name is None else name
        locked.row.save(update_fields=["model"])
        return locked.save()


def title_of(text: str) -> str:
    """Return a title as it is stored: one line, empty if nothing in it is visible. Raise BadInput, TooLong."""
    title = one_line(text)
    if len(title) > TITLE_LENGTH:
        raise TooLong(f"A title has at most {TITLE_LENGTH} characters; this one has {len(title):,}.")
    if "\x00" in title or any("\ud800" <= character <= "\udfff" for character in title):
        raise BadInput("The title has a character that cannot be stored.")
    return title if has_visible(title) else ""


def pin(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationOut:
    """Pin a conversation above the others, out of the archive too. Raise NotFound, Conflict in the trash."""
    with _not_in_trash(user_id, conversation_id) as locked:
        return locked.save(pinned_at=locked.row.pinned_at or locked.now, archived_at=None)


def unpin(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationOut:
    """Unpin a conversation. Raise NotFound, Conflict in the trash."""
    with _not_in_trash(user_id, conversation_id) as locked:
        return locked.save(pinned_at=None)


def archive(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationOut:
    """Archive a conversation, and unpin it. Raise NotFound, Conflict in the trash."""
    with _not_in_trash(user_id, conversation_id) as locked:
        return locked.save(archived_at=locked.row.archived_at or locked.now, pinned_at=None)


def unarchive(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationOut:
    """Take a conversation out of the archive. Raise NotFound, Conflict in the trash."""
    with _not_in_trash(user_id, conversation_id) as locked:
        return locked.save(archived_at=None)


def keep(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationOut:
    """Restart the retention period. Raise NotFound, Conflict in the trash."""
    with _not_in_trash(user_id, conversation_id) as locked:
        return locked.save()


def keep_all(*, user_id: uuid.UUID) -> int:
    """Keep all of a person's conversations that would go to the trash within a week; return how many."""
    now = timezone.now()
    with transaction.atomic():
        ids = list(leaving(now).owned_by(user_id).values_list("pk", flat=True))
        for conversation_id in ids:
            notifications.on_commit(notifications.conversation_updated, user_id, conversation_id)
        return Conversation.objects.filter(pk__in=ids).update(kept_at=now)


def trash(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationOut:
    """Put a conversation into the trash; its active turns are stopped, and its waiting calls do not run.

    It stays pinned or archived for when it is restored. Raise NotFound, Conflict under a legal hold.
    """
    with _locked(user_id, conversation_id) as locked:
        locked.refuse_held()
        if locked.row.trashed_at is not None:
            return conversation_out(locked.row)
        _stop_turns(locked)
        return locked.save(trashed_at=locked.now, wanted=False)


def restore(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationOut:
    """Put a conversation back where it was before it went to the trash. Raise NotFound."""
    with _locked(user_id, conversation_id) as locked:
        return locked.save(trashed_at=None)


@long_statements()
def purge(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> Purged:
    """Delete a conversation in the trash for good, with its session.

    Raise NotFound, Conflict if it is not in the trash, held, or a turn in it is active, and MemoryUnavailable.
    """
    with _locked(user_id, conversation_id) as locked:
        if locked.row.trashed_at is None:
            raise Conflict("Only a chat in the trash is deleted for good.")
        locked.refuse_held()
        if Turn.objects.filter(conversation=locked.row, status__in=ACTIVE).exists():
            raise Conflict("The assistant is still busy in this chat. Please try again in a moment.")
        purged = Purged(locked.row.pk, locked.row.title, locked.row.last_position)
        with opened() as file:
            remove_for_good(file, [locked.row])
    return purged


@long_statements()
def empty_trash(*, user_id: uuid.UUID) -> Emptied:
    """Delete all conversations in a user's trash for good, a batch at a time. Raise MemoryUnavailable."""
    chosen = list(in_trash().owned_by(user_id).order_by("pk").values_list("pk", flat=True))
    gone: list[uuid.UUID] = []
    for start in range(0, len(chosen), BATCH):
        with transaction.atomic():
            locked = Conversation.objects.filter(pk__in=chosen[start : start + BATCH]).order_by("pk").locked()
            ids = list(locked.values_list("pk", flat=True))
            # Read again under the lock: no other transaction restores, holds or uses them now.
            rows = list(in_trash().filter(pk__in=ids))
            if rows:
                with opened() as file:
                    remove_for_good(file, rows)
            for row in rows:
                notifications.on_commit(notifications.conversation_updated, user_id, row.pk)
        gone += [row.pk for row in rows]
    left = Conversation.objects.owned_by(user_id).filter(trashed_at__isnull=False).count()
    return Emptied(tuple(gone), left)


@contextmanager
def _locked(user_id: uuid.UUID, conversation_id: uuid.UUID) -> Iterator[_Locked]:
    """Lock a user's conversation until the transaction commits."""
    with transaction.atomic():
        row = get_one(Conversation.objects.owned_by(user_id).locked().filter(pk=conversation_id), "conversation")
        # The session by a statement of its own, which sees what was committed before the lock was taken.
        yield _Locked(row, timezone.now())
        notifications.on_commit(notifications.conversation_updated, user_id, conversation_id)


@contextmanager
def _not_in_trash(user_id: uuid.UUID, conversation_id: uuid.UUID) -> Iterator[_Locked]:
    """Lock a user's conversation; raise Conflict if it must be restored first."""
    with _locked(user_id, conversation_id) as locked:
        if locked.row.trashed_at is not None:
            raise Conflict("This chat is in the trash. Restore it first.")
        yield locked


def _stop_turns(locked: _Locked) -> None:
    """Cancel the turns that no process runs, and request a stop from the process of a running one."""
    active = Turn.objects.filter(conversation=locked.row, status__in=ACTIVE).select_related("prompt").order_by("seq")
    running = [turn for turn in active if turn.status == Status.RUNNING]
    for turn in running:
        turn.stop_asked = True
        turn.save(update_fields=["stop_asked"])
    cancelled = [cancel(turn, now=locked.now) for turn in active if turn.status != Status.RUNNING]
    process.on_stop(cancelled, [turn.pk for turn in running])
