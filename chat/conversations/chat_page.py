"""Read what pages show.

`as_json` gives the shapes of the websocket's frames (docs/reference/websocket.md), so that a page that was just loaded
and one that has followed the socket hold the same state.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile

from django.db.models import Q

from chat.conversations import listing
from chat.conversations.versions import VersionTree
from chat.exceptions import NotFound
from chat.memory.rebuild import first_remembered
from chat.models import Conversation, Turn, User
from chat.models.turn import ACTIVE
from chat.read_models import ConversationOut, TurnOut, load_turns
from chat.tasks.panel import OPEN_SHOWN, TaskPanel, load_panel
from chat.tasks.undo import CallChange, changes_of

TURNS_SHOWN = 10  # of a conversation, until the reader asks for more
TURNS_LOADED = 25  # at once, of those before
TEXT_SHOWN = 100_000  # characters of a page's turns, beyond which it has no further ones


@dataclass(frozen=True, slots=True)
class Part:
    """Which turns of a conversation to read: the newest, or those before, after or around one of its turns.

    With `since` it is the newest, and all from that turn on. Of long turns there are fewer.
    """

    before: uuid.UUID | None = None
    after: uuid.UUID | None = None
    around: uuid.UUID | None = None
    since: uuid.UUID | None = None
    size: int = TURNS_SHOWN

    def cut(self, shown: Sequence[uuid.UUID], tree: VersionTree, active: int = 0) -> "Cut":
        """Return which part of the turns shown it is; the last `active` are among the newest. Raise NotFound."""
        since = self.since if self.since and tree.has(self.since) else None
        anchor = self.before or self.after or self.around or since
        if anchor is not None and not tree.has(anchor):
            raise NotFound("There is no such turn.")
        # A turn that was replaced meanwhile has the place that it would have.
        at = sum(tree.seq(pk) < tree.seq(anchor) for pk in shown) if anchor else 0
        end = len(shown)
        last = max(end - max(self.size, active), 0)
        if self.before is not None:
            return Cut(max(at - self.size, 0), at, slice(max(at - 1, 0), at))
        if self.after is not None:
            return Cut(min(at + 1, end), min(at + 1 + self.size, end), slice(at + 1, at + 2))
        if self.around is not None:
            start = min(max(at - self.size // 2, 0), last)
            return Cut(start, min(start + self.size, end), slice(at, at + 1))
        kept = max(end - max(active, 1), 0)
        return Cut(min(at, last) if since else last, end, slice(min(at, kept) if since else kept, end))


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of the turns of a conversation; the `kept` ones are shown however long they are."""

    start: int
    stop: int
    kept: slice

    def fitting(self, lengths: Sequence[int]) -> "Cut":
        """Return as many turns around the kept ones as are not too long; `lengths` has those of all."""
        start, stop = max(self.kept.start, self.start), min(self.kept.stop, self.stop)
        left = TEXT_SHOWN - sum(lengths[start - self.start : stop - self.start])
        while stop < self.stop and (left := left - lengths[stop - self.start]) >= 0:
            stop += 1
        while start > self.start and (left := left - lengths[start - 1 - self.start]) >= 0:
            start -= 1
        return Cut(start, stop, self.kept)


@dataclass(frozen=True, slots=True)
class ChatPage:
    """A part of one conversation (only its id before the first message), with the panel and the lists of the page."""

    id: uuid.UUID
    conversation: ConversationOut | None = None
    turns: tuple[TurnOut, ...] = ()
    # The first and the last of the turns, if there are others before or after them.
    earlier: uuid.UUID | None = None
    later: uuid.UUID | None = None
    # The turn before which the assistant remembers nothing, once something of the conversation was pruned.
    memory_start: uuid.UUID | None = None
    panel: TaskPanel | None = None
    listed: listing.ConversationPage = listing.ConversationPage(())
    waiting: tuple[uuid.UUID, ...] = ()  # the conversations in which something waits for the person's decision
    changes: tuple[CallChange, ...] = ()  # of tasks, by the calls of the turns
    leaving: int = 0  # conversations that go to the trash within a week; counted for a new chat only
    # The turn whose version is shown, if that is an earlier version of the conversation.
    version: uuid.UUID | None = None

    @property
    def title(self) -> str:
        """The title, or a name for a conversation without one."""
        return (self.conversation and self.conversation.title) or "New chat"

    @property
    def has_retention_notice(self) -> bool:
        """Whether the page shows a notice about retention, the archive or the trash."""
        line = self.conversation
        return bool(line.trashed or line.archived or line.trash_on if line else self.leaving)

    def turns_as_json(self) -> dict[str, object]:
        """Return the JSON form of the turns."""
        return {
            "turns": [turn.as_json() for turn in self.turns],
            "changes": [change.as_json() for change in self.changes],
            "earlier": str(self.earlier) if self.earlier else None,
        }

    def as_json(self) -> dict[str, object]:
        """Return what the page's script begins with."""
        return {
            "conversation_id": str(self.id),
            "conversation": self.conversation.as_json() if self.conversation else None,
            **self.turns_as_json(),
            "memory_start": str(self.memory_start) if self.memory_start else None,
            **(self.panel.as_json() if self.panel else {}),
            **self.listed.as_json(),
            "waiting": [str(key) for key in self.waiting],
            "leaving": self.leaving,
            "version": str(self.version) if self.version else None,
        }


def new_chat(
    person: User, conversation_id: uuid.UUID, *, tasks: int = OPEN_SHOWN, chats: int = listing.SIDEBAR_SIZE
) -> ChatPage:
    """Return the page of a conversation that has no message yet, with so many open tasks and chats."""
    return ChatPage(
        id=conversation_id,
        leaving=listing.leaving_count(person),
        panel=load_panel(person.pk, size=tasks),
        listed=listing.conversations_of(person, limit=chats),
        waiting=tuple(listing.waiting_of(person)),
    )


def chat(
    person: User,
    conversation_id: uuid.UUID,
    version: uuid.UUID | None = None,
    *,
    part: Part | None = None,
    tasks: int = OPEN_SHOWN,
    chats: int = listing.SIDEBAR_SIZE,
) -> ChatPage | None:
    """Return the page of a conversation, its turns in order, or None if the user has none of that id.

    With a version, it is the conversation before another turn replaced that one; None if there is no such turn.
    """
    page = turns_of(person, conversation_id, version, part)
    if page is None:
        return None
    return replace(
        page,
        memory_start=None if page.version else first_remembered(conversation_id),
        panel=load_panel(person.pk, size=tasks),
        listed=listing.conversations_of(person, limit=chats),
        waiting=tuple(listing.waiting_of(person)),
    )


def turns_of(
    person: User, conversation_id: uuid.UUID, version: uuid.UUID | None = None, part: Part | None = None
) -> ChatPage | None:
    """Return a part of a conversation as `chat` does, without the panel and the lists."""
    row = listing.with_listing_fields(Conversation.objects.owned_by(person.pk)).filter(pk=conversation_id).first()
    if row is None:
        return None
    turns = list(row.turns.order_by("seq").only("conversation", "seq", "status", "replaces", "superseded_by"))
    tree = VersionTree(turns)
    if version is not None and not tree.has(version):
        return None
    if version is not None and tree.is_current(version):
        version = None
    ids = tree.shown(version)
    shown = [turn for turn in turns if turn.pk in ids]
    active = sum(1 for _ in dropwhile(lambda turn: turn.status not in ACTIVE, shown))
    try:
        cut = (part or Part(around=version)).cut([turn.pk for turn in shown], tree, active)
    except NotFound:
        return None
    wanted = [turn.pk for turn in shown[cut.start : cut.stop]]
    successors = {turn: successor for turn, successor in tree.successors(ids).items() if successor in wanted}
    changes = tuple(changes_of(row.pk, turns=[*wanted, *successors]))
    undone = {change.call_id for change in changes if change.undone}
    rows = Turn.objects.filter(pk__in=wanted).order_by("seq")
    read = tuple(load_turns(rows, successors=successors, versions=tree.versions, undone=undone))
    fitting = cut.fitting([turn.length for turn in read])
    page = read[fitting.start - cut.start : fitting.stop - cut.start]
    return ChatPage(
        id=row.pk,
        conversation=listing.conversation_out(row),
        turns=page,
        changes=changes,
        earlier=page[0].id if page and fitting.start > 0 else None,
        later=page[-1].id if page and fitting.stop < len(shown) else None,
        version=version,
    )


def turn_of_message(person: User, conversation_id: uuid.UUID, message_id: uuid.UUID) -> Turn | None:
    """Return the turn that shows a message, the newest of several; None if there is no such message."""
    theirs = Turn.objects.filter(user=person.pk, conversation=conversation_id)
    return theirs.filter(Q(prompt=message_id) | Q(messages=message_id)).order_by("-seq").only("superseded_by").first()
