"""Threads and their items, read from the record: a bounded number of queries for any page, however long the list.

A thread is a conversation that is not in the trash; its items are those of its current turns, in the turns' order.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, islice

from chatkit.store import NotFoundError
from chatkit.types import Page, ThreadItem, ThreadMetadata
from django.db.models import Q

from chat.chatkit.items import TurnView, items_of, numbers_of
from chat.exceptions import NotFound
from chat.models import Conversation, Message, Task, ToolCall, Turn
from chat.models.conversation import ConversationQuerySet, Role
from chat.models.turn import ACTIVE, HOLDING, Decision, TurnQuerySet
from chat.read_models import MessageOut, ToolCallJson, ToolCallOut
from chat.turns.events import reply_id

MOST = 100  # of a page
NOBODY = uuid.UUID(int=0)


class NoSuchThread(NotFound, NotFoundError):
    """A conversation that does not exist, is in the trash, or belongs to another user."""

    def __init__(self) -> None:
        super().__init__("There is no such conversation.")


class NoSuchItem(NotFound, NotFoundError):
    """An item that the thread does not have (any more)."""

    def __init__(self) -> None:
        super().__init__("There is no such item in this conversation.")


def thread(user_id: uuid.UUID, thread_id: str) -> ThreadMetadata:
    """Return a person's conversation as a thread. Raise NoSuchThread."""
    return _thread(_conversation(user_id, thread_id))


def thread_key(thread_id: str) -> uuid.UUID:
    """Return the conversation's id that a thread's id is. Raise NoSuchThread."""
    key = _uuid(thread_id)
    if key == NOBODY:
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
        rows = rows.filter(_beyond(seen, newest_first=newest_first))
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
    # Each has an item at least; all of the one that `after` stands in may have been seen.
    views = _views(turns.order_by("-seq" if newest_first else "seq")[: limit + 2])
    shown = (items_of(view)[::-1] if newest_first else items_of(view) for view in views)
    first = next(shown, [])
    if after is not None:
        places = [item.id for item in first]
        if after not in places:
            raise NoSuchItem
        first = first[places.index(after) + 1 :]
    return _page(list(islice(chain(first, chain.from_iterable(shown)), limit + 1)), limit)


def item(user_id: uuid.UUID, thread_id: str, item_id: str) -> ThreadItem:
    """Return one item of a thread. Raise NoSuchThread, NoSuchItem."""
    found = _turn_with(_conversation(user_id, thread_id), item_id)
    for shown in items_of(turn(user_id, found.pk)):
        if shown.id == item_id:
            return shown
    raise NoSuchItem


def turn(user_id: uuid.UUID, turn_id: uuid.UUID) -> TurnView:
    """Return a person's turn. Raise NoSuchItem."""
    views = _views(Turn.objects.filter(pk=turn_id, user_id=user_id))
    if not views:
        raise NoSuchItem
    return views[0]


def turn_with(user_id: uuid.UUID, thread_id: str, item_id: str) -> TurnView:
    """Return the turn that an item belongs to. Raise NoSuchThread, NoSuchItem."""
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
        found = current.filter(pk=key).first() or _about_to_say(current, key)
    elif message.role == Role.USER:
        found = current.filter(prompt=message).first()
    else:
        found = current.filter(pk=message.turn_id).first()
    if found is None:
        raise NoSuchItem
    return found


def _about_to_say(current: TurnQuerySet, key: uuid.UUID) -> Turn | None:
    """Return the turn under way, if it is its reply that will have an id."""
    holding = current.filter(status__in=HOLDING).first()
    return holding if holding is not None and reply_id(holding.pk) == key else None


def _views(rows: TurnQuerySet) -> list[TurnView]:
    """Show turns, all with one query for each kind of what belongs to them."""
    turns = list(rows.defer("items", "usage").select_related("prompt"))
    said = Message.objects.filter(turn__in=turns, role=Role.ASSISTANT)
    replies = {message.turn_id: MessageOut.of(message).as_json() for message in said}
    tools: defaultdict[uuid.UUID, list[ToolCallJson]] = defaultdict(list)
    for call in ToolCall.objects.filter(turn__in=turns).order_by("id").defer("before"):
        tools[call.turn_id].append(ToolCallOut.of(call).as_json())
    titles = _titles(turns, list(chain.from_iterable(tools.values())))
    return [
        TurnView(
            id=turn.pk,
            thread_id=turn.conversation_id,
            at=turn.accepted_at,
            attempt=turn.attempt,
            status=turn.status,
            prompt=MessageOut.of(turn.prompt).as_json(),
            reply=replies.get(turn.pk),
            text=turn.text,
            tools=tools[turn.pk],
            warning=turn.warning,
            error_code=turn.error_code,
            error_detail=turn.error_detail,
            titles=titles,
        )
        for turn in turns
    ]


def _titles(turns: Sequence[Turn], tools: Sequence[ToolCallJson]) -> dict[int, str]:
    """Return the titles of the tasks that an approval is about; after the decision they may be deleted."""
    asked = [tool for tool in tools if tool.get("approval") == Decision.AWAITING]
    numbers = {number for tool in asked for number in numbers_of(tool["name"], tool["arguments"])}
    if not numbers:
        return {}
    theirs = Task.objects.owned_by(turns[0].user_id).filter(number__in=numbers)
    return dict(theirs.values_list("number", "title"))


def _thread(row: Conversation) -> ThreadMetadata:
    return ThreadMetadata(id=str(row.pk), title=row.title or None, created_at=row.created_at)


# -- pages


def _beyond(seen: Conversation, *, newest_first: bool) -> Q:
    """Narrow to what comes after a conversation, those that began at the same moment included."""
    than = "lt" if newest_first else "gt"
    later = Q(**{f"created_at__{than}": seen.created_at})
    return later | Q(created_at=seen.created_at, **{f"id__{than}": seen.pk})


def _bounded(limit: int) -> int:
    return max(1, min(limit, MOST))


def _page(found: Sequence[ThreadMetadata] | Sequence[ThreadItem], limit: int) -> Page:  # type: ignore[type-arg]
    more = len(found) > limit
    data = list(found[:limit])
    return Page(data=data, has_more=more, after=data[-1].id if more else None)


def _uuid(text: str) -> uuid.UUID:
    """Return an id; for what is none of ours one that nothing has."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return NOBODY
