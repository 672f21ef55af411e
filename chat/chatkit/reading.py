"""Threads and their items, read from the record: a bounded number of queries for any page, however long the list.

A thread is a conversation that is not in the trash; its items are those of its current turns, in the turns' order.
"""

import uuid
from collections.abc import Mapping, Sequence
from itertools import chain, islice

from chatkit.store import NotFoundError
from chatkit.types import Page, ThreadItem, ThreadMetadata
from django.db.models import Q

from chat.chatkit.items import items_of, numbers_of
from chat.exceptions import NotFound
from chat.models import Conversation, Message, Task, Turn
from chat.models.conversation import ConversationQuerySet, Role
from chat.models.turn import ACTIVE, BUSY_STATUSES, TurnQuerySet
from chat.read_models import TurnOut, load_turns
from chat.turns.events import reply_id

MOST = 100  # of a page
UNUSED_ID = uuid.UUID(int=0)


class NoSuchThread(NotFound, NotFoundError):
    """A conversation that does not exist, is in the trash, or belongs to another user."""

    default_detail = "There is no such conversation."


class NoSuchItem(NotFound, NotFoundError):
    """An item that the thread does not have (any more)."""

    default_detail = "There is no such item in this conversation."


def thread(user_id: uuid.UUID, thread_id: str) -> ThreadMetadata:
    """Return a user's conversation as a thread. Raise NoSuchThread."""
    return _thread(_conversation(user_id, thread_id))


def thread_key(thread_id: str) -> uuid.UUID:
    """Return the conversation's id that a thread's id is. Raise NoSuchThread."""
    key = _uuid(thread_id)
    if key == UNUSED_ID:
        raise NoSuchThread
    return key


def threads(user_id: uuid.UUID, *, after: str | None, limit: int, newest_first: bool) -> Page[ThreadMetadata]:
    """Return a page of a person's conversations by when they began, those in the archive left out.

    Raise NoSuchThread if `after` is not the user's; it may have been archived or trashed meanwhile.
    """
    rows = Conversation.objects.owned_by(user_id).filter(archived_at=None, trashed_at=None)
    if after is not None:
        seen = Conversation.objects.owned_by(user_id).filter(pk=_uuid(after)).first()
        if seen is None:
            raise NoSuchThread
        than = "lt" if newest_first else "gt"
        beyond = Q(**{f"created_at__{than}": seen.created_at})
        rows = rows.filter(beyond | Q(created_at=seen.created_at, **{f"id__{than}": seen.pk}))
    sign = "-" if newest_first else ""
    limit = _bounded(limit)
    found = [_thread(row) for row in rows.order_by(f"{sign}created_at", f"{sign}id")[: limit + 1]]
    return _page(found, limit)


def items(user_id: uuid.UUID, thread_id: str, *, after: str | None, limit: int, newest_first: bool) -> Page[ThreadItem]:
    """Return a page of a thread's items. Raise NoSuchThread, NoSuchItem where `after` is none of them."""
    conversation, limit = _conversation(user_id, thread_id), _bounded(limit)
    turns = _current(conversation)
    if after is not None:
        seen = _turn_with(conversation, after)
        turns = turns.filter(seq__lte=seen.seq) if newest_first else turns.filter(seq__gte=seen.seq)
    # Each has at least one item; all items of the turn of `after` may have been seen.
    found = load_turns(turns.order_by("-seq" if newest_first else "seq")[: limit + 2])
    titles = _titles(user_id, found)
    shown = (items_of(turn, titles)[:: -1 if newest_first else 1] for turn in found)
    first = next(shown, [])
    if after is not None:
        places = [item.id for item in first]
        if after not in places:
            raise NoSuchItem
        first = first[places.index(after) + 1 :]
    return _page(list(islice(chain(first, chain.from_iterable(shown)), limit + 1)), limit)


def item(user_id: uuid.UUID, thread_id: str, item_id: str) -> ThreadItem:
    """Return one item of a thread. Raise NoSuchThread, NoSuchItem."""
    for shown in items_of(*turn_with(user_id, thread_id, item_id)):
        if shown.id == item_id:
            return shown
    raise NoSuchItem


def turn(user_id: uuid.UUID, turn_id: uuid.UUID) -> tuple[TurnOut, Mapping[int, str]]:
    """Return a user's turn, and the titles of the tasks that its questions are about. Raise NoSuchItem."""
    found = load_turns(Turn.objects.filter(pk=turn_id, user_id=user_id))
    if not found:
        raise NoSuchItem
    return found[0], _titles(user_id, found)


def turn_with(user_id: uuid.UUID, thread_id: str, item_id: str) -> tuple[TurnOut, Mapping[int, str]]:
    """Return the turn that an item belongs to, as `turn` does. Raise NoSuchThread, NoSuchItem."""
    return turn(user_id, _turn_with(_conversation(user_id, thread_id), item_id).pk)


def active_turns(user_id: uuid.UUID, thread_id: str) -> list[uuid.UUID]:
    """Return the turns of a thread that have not ended, the newest first. Raise NoSuchThread."""
    active = Turn.objects.filter(conversation=_conversation(user_id, thread_id), status__in=ACTIVE)
    return list(active.order_by("-seq").values_list("pk", flat=True))


# -- rows


def _conversation(user_id: uuid.UUID, thread_id: str) -> Conversation:
    theirs: ConversationQuerySet = Conversation.objects.owned_by(user_id)
    found = theirs.filter(pk=_uuid(thread_id), trashed_at=None).first()
    if found is None:
        raise NoSuchThread
    return found


def _current(conversation: Conversation) -> TurnQuerySet:
    current: TurnQuerySet = Turn.objects.filter(conversation=conversation, superseded_by=None)
    return current


def _turn_with(conversation: Conversation, item_id: str) -> Turn:
    """Find the current turn that has an item. Raise NoSuchItem."""
    key, current = _uuid(item_id.partition(":")[0]), _current(conversation).only("pk", "seq")
    message = Message.objects.filter(pk=key, conversation=conversation).only("role", "turn_id").first()
    if message is None:
        found = current.filter(pk=key).first() or _with_reply(current, key)
    elif message.role == Role.USER:
        found = current.filter(prompt=message).first()
    else:
        found = current.filter(pk=message.turn_id).first()
    if found is None:
        raise NoSuchItem
    return found


def _with_reply(current: TurnQuerySet, key: uuid.UUID) -> Turn | None:
    """Return the active turn whose reply is going to have this id."""
    busy = current.filter(status__in=BUSY_STATUSES).first()
    return busy if busy is not None and reply_id(busy.pk) == key else None


def _titles(user_id: uuid.UUID, turns: Sequence[TurnOut]) -> dict[int, str]:
    """Return the titles of the tasks that approvals are about; after the decision they may be deleted."""
    numbers = {number for turn in turns for call in turn.tools if call.is_awaiting for number in numbers_of(call)}
    if not numbers:
        return {}
    return dict(Task.objects.owned_by(user_id).filter(number__in=numbers).values_list("number", "title"))


def _thread(row: Conversation) -> ThreadMetadata:
    return ThreadMetadata(id=str(row.pk), title=row.title or None, created_at=row.created_at)


# -- pages


def _bounded(limit: int) -> int:
    return max(1, min(limit, MOST))


def _page(found: Sequence[ThreadMetadata] | Sequence[ThreadItem], limit: int) -> Page:  # type: ignore[type-arg]
    more = len(found) > limit
    data = list(found[:limit])
    return Page(data=data, has_more=more, after=data[-1].id if more else None)


def _uuid(text: str) -> uuid.UUID:
    """Return an id; for a text of another form one that nothing has."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return UNUSED_ID
