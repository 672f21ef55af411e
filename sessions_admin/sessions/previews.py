"""Preview the effect of a verb on each session, for the confirmation page."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from chat.exceptions import MemoryUnavailable
from chat.memory.configured import opened_to_read
from chat.memory.items import surplus
from chat.memory.rebuild import rebuild
from chat.memory.sync_store import SyncStore
from chat.models import AgentSession, Turn
from chat.models.turn import BUSY_STATUSES
from sessions_admin.models import Action
from sessions_admin.sessions.lifecycle import BUSY, HELD, NOT_HELD

REMOVING_ACTIONS = (Action.CLEAR, Action.EXPIRE)
FILE_ACTIONS = (*REMOVING_ACTIONS, Action.PRUNE, Action.REBUILD)


@dataclass(frozen=True, slots=True)
class Preview:
    """The effect on one session: its items before and after, or why the verb is refused."""

    session: AgentSession
    items: int
    items_after: int
    refusal: str = ""

    @property
    def removed(self) -> int:
        """The number of removed items."""
        return 0 if self.refusal else max(self.items - self.items_after, 0)


def previews(action: Action, sessions: Sequence[AgentSession]) -> list[Preview]:
    """Return the effect of a verb on each session, in order."""
    if action not in FILE_ACTIONS:
        return [Preview(each, each.item_count, each.item_count, _refusal(action, each)) for each in sessions]
    busy = set(
        Turn.objects.filter(conversation__in=[each.conversation_id for each in sessions], status__in=BUSY_STATUSES)
        .order_by()
        .values_list("conversation_id", flat=True)
    )
    try:
        with opened_to_read() as file:
            held = file.measure([each.session_id for each in sessions])
            return [
                _preview(action, each, file, held[each.session_id].items, BUSY if each.conversation_id in busy else "")
                for each in sessions
            ]
    except MemoryUnavailable as error:
        return [Preview(each, each.item_count, each.item_count, error.detail) for each in sessions]


def _preview(action: Action, session: AgentSession, file: SyncStore, items: int, busy: str) -> Preview:
    if refusal := busy or _refusal(action, session):
        return Preview(session, items, items, refusal)
    return Preview(session, items, _items_after(action, session, file, items))


def _refusal(action: Action, session: AgentSession) -> str:
    if action in REMOVING_ACTIONS and session.is_held:
        return HELD
    return NOT_HELD if action == Action.RELEASE and not session.is_held else ""


def _items_after(action: Action, session: AgentSession, file: SyncStore, items: int) -> int:
    limit = settings.AGENT_SESSION_MAX_MESSAGES
    if action in REMOVING_ACTIONS:
        return 0
    if action == Action.PRUNE:
        return items - len(surplus(file.items(session.session_id), limit)) if items > limit else items
    return len(rebuild(session.conversation_id, before=session.conversation.last_seq + 1, limit=limit).items)
