"""A conversation in which a message is accepted: locked, with its user, until the transaction ends."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from chat.assistant.model_config import check_name, name_in_use
from chat.exceptions import Conflict, NotFound, RateLimited, TooManyConversations
from chat.models import Conversation, Message, Turn
from chat.models.conversation import Role
from chat.models.sql import ENDS_WHEN_IDLE, change, select
from chat.models.turn import Status
from chat.search.index import index_message, index_title
from chat.turns.cancel import Cancelled, cancel
from chat.turns.lease import LEASE_TIME

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

_LOCK = f"""
SELECT c.title, c.last_seq, c.last_position, c.model, {ENDS_WHEN_IDLE}
FROM chat_conversation c JOIN chat_user u ON u.id = c.user_id
WHERE c.id = %(conversation)s AND c.user_id = %(user)s AND u.is_active FOR NO KEY UPDATE OF c, u
"""  # noqa: S608 - our own words
# No other transaction creates conversations of this user until this one ends.
_LOCK_CREATION = "SELECT pg_advisory_xact_lock(hashtextextended('conversations of ' || %(user)s::text, 0))"
_READ_TURNS = """
SELECT
    (SELECT t.id FROM chat_turn t WHERE t.conversation_id = %(conversation)s AND t.client_id = %(client)s),
    (SELECT t.accepted_at FROM chat_turn t WHERE t.user_id = %(user)s AND t.accepted_at > %(since)s
        ORDER BY t.accepted_at DESC OFFSET %(limit)s - 1 LIMIT 1),
    count(*), count(*) FILTER (WHERE status = 'queued'), (array_agg(id) FILTER (WHERE status = 'waiting'))[1]
FROM chat_turn WHERE conversation_id = %(conversation)s AND status IN ('queued', 'running', 'waiting')
"""
# The newest first. What a turn took over from the one that it retries is counted with the retry only.
_TOKENS = """
SELECT t.accepted_at, (t.usage->>'input_tokens')::bigint + (t.usage->>'output_tokens')::bigint FROM chat_turn t
WHERE t.user_id = %(user)s AND t.accepted_at > %(since)s AND t.usage ? 'input_tokens'
    AND NOT (t.status IN ('failed', 'stopped') AND EXISTS (
        SELECT FROM chat_turn r WHERE r.replaces_id = t.id AND r.prompt_id = t.prompt_id))
ORDER BY t.accepted_at DESC
"""
# Supersede turns, their messages and their replies; search does not find them any more.
_SUPERSEDE = """
WITH superseded AS (
    UPDATE chat_turn SET superseded_by_id = %(new)s
    WHERE conversation_id = %(conversation)s AND seq >= %(from)s AND superseded_by_id IS NULL RETURNING id, prompt_id
), earlier AS (
    UPDATE chat_message SET position = NULL
    WHERE conversation_id = %(conversation)s AND id IS DISTINCT FROM %(keep)s
        AND (id IN (SELECT prompt_id FROM superseded) OR turn_id IN (SELECT id FROM superseded) AND role = 'assistant')
    RETURNING id
)
DELETE FROM chat_messagevector WHERE message_id IN (SELECT id FROM earlier)
"""
_MOVE_UP = """
UPDATE chat_message SET position = moved.position
FROM (
    SELECT id, row_number() OVER (ORDER BY position) AS position
    FROM chat_message WHERE conversation_id = %(conversation)s AND position IS NOT NULL
) moved
WHERE moved.id = chat_message.id AND moved.position <> chat_message.position
"""
_STORE = """
WITH moved AS (
    UPDATE chat_conversation
    SET title = %(title)s, model = %(model)s, updated_at = %(now)s, last_seq = %(seq)s, last_position = %(position)s,
        archived_at = NULL, trashed_at = NULL
    WHERE id = %(conversation)s
), message AS (
    INSERT INTO chat_message (id, conversation_id, turn_id, role, text, position, client_id, created_at)
    SELECT %(message)s, %(conversation)s, %(turn)s, 'user', %(text)s, %(position)s, %(client)s, %(now)s
    WHERE %(is_new_message)s
)
INSERT INTO chat_turn (id, conversation_id, user_id, prompt_id, replaces_id, client_id, seq, status, model, owner,
    lease_until, attempt, text, items, warning, error_code, error_detail, accepted_at, started_at)
VALUES (%(turn)s, %(conversation)s, %(user)s, %(message)s, %(replaces)s, %(client)s, %(seq)s, %(status)s,
    %(turn_model)s, %(owner)s, statement_timestamp() + %(lease_time)s::interval, 1, '', '[]', '', '', '', %(now)s,
    %(started_at)s)
"""


@dataclass(slots=True)
class AcceptContext:
    """A conversation and its active turns, locked until the transaction ends."""

    user_id: uuid.UUID
    conversation_id: uuid.UUID
    client_id: uuid.UUID
    now: datetime
    title: str
    last_seq: int
    last_position: int
    model: str
    stored_title: str = ""
    known: Turn | None = None  # what was accepted with the same `client_id`
    active: int = 0
    queued: int = 0
    waiting: uuid.UUID | None = None  # the turn that waits for a decision
    first_of_minute: datetime | None = None  # if the limit is reached
    closed: Cancelled | None = None

    def check_limits(self) -> None:
        """Raise RateLimited if the user sends too many messages, or too many are queued."""
        if self.first_of_minute is not None:
            limit = settings.MESSAGES_PER_MINUTE
            wait = int((self.first_of_minute + MINUTE - self.now).total_seconds()) + 1
            detail = f"That is more than {limit} messages a minute; please wait {wait} second{'s' * (wait != 1)}."
            raise RateLimited(detail, retry_after=wait)
        if settings.TOKENS_PER_DAY is not None:
            self._check_tokens(settings.TOKENS_PER_DAY)
        if self.queued >= settings.QUEUE_PER_CONVERSATION:
            detail = "Too many messages are waiting in this conversation; please wait for a reply."
            raise RateLimited(detail, retry_after=5)

    def _check_tokens(self, limit: int) -> None:
        used = 0
        for accepted_at, tokens in select(_TOKENS, {"user": self.user_id, "since": self.now - DAY}):
            used += tokens
            if used >= limit:
                wait = int((accepted_at + DAY - self.now).total_seconds()) + 1
                hours = max(round(wait / 3600), 1)
                detail = f"That is more than {limit:,} tokens a day; please go on in {hours} hour{'s' * (hours > 1)}."
                raise RateLimited(detail, retry_after=wait)

    def choose_model(self, name: str) -> None:
        """Set the model that the user chose with the first message; later ones change nothing. Raise BadInput."""
        if name and check_name(name) and self.last_seq == 0:
            self.model = name

    def check_idle(self) -> None:
        """Cancel a turn that waits; raise Conflict if one runs or is queued."""
        self.close_waiting()
        if self.active:
            raise Conflict("The assistant is still answering; please wait for it, or stop it first.")

    def close_waiting(self) -> None:
        """Cancel the turn that waits for a decision, because the user sends another message."""
        if self.waiting is not None:
            self.closed = cancel(Turn.objects.select_related("prompt").get(pk=self.waiting), now=self.now)
            self.last_position += self.closed.message is not None
            self.active -= 1

    def supersede(self, old: Turn, new: Turn, *, keep: uuid.UUID | None = None) -> None:
        """Supersede a turn and all after it; the message `keep` stays current."""
        values = {"conversation": self.conversation_id, "from": old.seq, "new": new.pk, "keep": keep}
        change(_SUPERSEDE, values)
        change(_MOVE_UP, values)
        self.last_position = Message.objects.filter(conversation=self.conversation_id, position__gt=0).count()

    def new_turn(self) -> Turn:
        """Return the conversation's next turn."""
        self.last_seq += 1
        return Turn(
            conversation_id=self.conversation_id,
            user_id=self.user_id,
            client_id=self.client_id,
            seq=self.last_seq,
            status=Status.QUEUED,
            accepted_at=self.now,
        )

    def new_message(self, turn: Turn, text: str) -> Message:
        """Return the message that a turn answers."""
        self.last_position += 1
        return Message(
            turn_id=turn.pk,
            client_id=self.client_id,
            role=Role.USER,
            text=text,
            position=self.last_position,
            created_at=self.now,
        )


def create_conversation(
    *, user_id: uuid.UUID, conversation_id: uuid.UUID, now: datetime, title: str = "", model: str = ""
) -> None:
    """Create a conversation within a transaction, unless there is one with this id. Raise TooManyConversations.

    Every conversation is created here.
    """
    select(_LOCK_CREATION, {"user": user_id})
    if Conversation.objects.filter(pk=conversation_id).exists():
        return
    limit = settings.CONVERSATIONS_PER_USER
    if Conversation.objects.owned_by(user_id)[limit - 1 : limit].exists():
        raise TooManyConversations(limit)
    fresh = Conversation(pk=conversation_id, user_id=user_id, title=title, model=model, updated_at=now)
    # Another request may create one with this id at the same moment.
    Conversation.objects.bulk_create([fresh], ignore_conflicts=True)


def lock(user_id: uuid.UUID, conversation_id: uuid.UUID, client_id: uuid.UUID, *, new: bool = False) -> AcceptContext:
    """Lock a conversation, created first if there is none, and read its active turns.

    Raise NotFound, TooManyConversations.
    """
    now = timezone.now()
    values = {"user": user_id, "conversation": conversation_id, "client": client_id}
    locked = select(_LOCK, values)
    if not locked and new:
        create_conversation(user_id=user_id, conversation_id=conversation_id, now=now)
        locked = select(_LOCK, values)
    if not locked:
        raise NotFound("There is no such conversation.")
    context = AcceptContext(user_id, conversation_id, client_id, now, *locked[0][:4])
    context.stored_title = context.title
    limit = {"since": now - MINUTE, "limit": settings.MESSAGES_PER_MINUTE}
    (turns,) = select(_READ_TURNS, values | limit)
    known, context.first_of_minute, context.active, context.queued, context.waiting = turns
    if known is not None:
        context.known = Turn.objects.select_related("prompt").get(pk=known)
    return context


def store(context: AcceptContext, turn: Turn, runner: uuid.UUID | None) -> None:
    """Store a turn, and its message unless that is stored; the turn runs at once if no other is active."""
    if runner is not None and not context.active:
        turn.status, turn.owner, turn.started_at = Status.RUNNING, runner, context.now
        turn.model = name_in_use(context.model)
    values = {
        "conversation": context.conversation_id,
        "user": context.user_id,
        "client": context.client_id,
        "now": context.now,
        "title": context.title,
        "model": context.model,
        "turn_model": turn.model,
        "position": context.last_position,
        "message": turn.prompt.pk,
        "text": turn.prompt.text,
        "is_new_message": turn.prompt.turn_id == turn.pk,
        "turn": turn.pk,
        "replaces": turn.replaces_id,
        "seq": turn.seq,
        "status": turn.status,
        "owner": turn.owner,
        "lease_time": LEASE_TIME if turn.owner else None,
        "started_at": turn.started_at,
    }
    change(_STORE, values)
    turn._state.adding = False
    owner = {"conversation_id": context.conversation_id, "user_id": context.user_id}
    if turn.prompt.turn_id == turn.pk:
        index_message(message_id=turn.prompt.pk, text=turn.prompt.text, created_at=context.now, **owner)
    if context.title != context.stored_title:
        index_title(title=context.title, **owner)
