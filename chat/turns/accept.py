"""Accept messages: an acknowledged message is durable, and gets a reply."""

import uuid
from dataclasses import dataclass

from django.db import transaction

from chat.exceptions import BadInput, Conflict, EmptyText, TooLong
from chat.infra.lookup import get_one
from chat.infra.visible import has_visible, one_line
from chat.models import Message, Turn
from chat.models.conversation import TITLE_LENGTH, USER_TEXT_LENGTH, Role
from chat.models.turn import ACTIVE, Status
from chat.read_models import MessageOut
from chat.turns.accept_context import lock, store
from chat.turns.cancel import Cancelled
from chat.turns.journal import copy_journal


@dataclass(frozen=True, slots=True)
class Accepted:
    """A durable message, and the turn that answers it; `is_new` is false if it was sent again.

    `closed` is a turn that waited for the user's decision until now.
    """

    message: MessageOut
    turn: Turn
    ahead: int
    is_new: bool
    closed: Cancelled | None = None

    @property
    def begins(self) -> Turn | None:
        """The turn, if it begins now."""
        return self.turn if self.is_new and self.turn.status == Status.RUNNING else None


def accept(
    *,
    user_id: uuid.UUID,
    conversation_id: uuid.UUID,
    client_id: uuid.UUID,
    text: str,
    model: str = "",
    runner: uuid.UUID | None = None,
) -> Accepted:
    """Store a message and the turn that will answer it, in one transaction.

    `runner` is the process that runs the turn at once if the conversation is idle; without one the turn waits in the
    queue. The first message creates the conversation, with the `model` that answers it. The same `client_id` again
    changes nothing.
    Raise EmptyText, TooLong, BadInput, NotFound, TooManyConversations, RateLimited.
    """
    check_text(text)
    with transaction.atomic():
        context = lock(user_id, conversation_id, client_id, new=True)
        if context.known is not None:
            return _accepted(context.known, is_new=False)
        context.check_limits()
        context.close_waiting()
        context.choose_model(model)
        context.title = context.title or title_from(text)
        turn = context.new_turn()
        turn.prompt = context.new_message(turn, text)
        store(context, turn, runner)
    return _accepted(turn, closed=context.closed)


def accept_retry(
    *,
    user_id: uuid.UUID,
    conversation_id: uuid.UUID,
    turn_id: uuid.UUID,
    client_id: uuid.UUID,
    runner: uuid.UUID | None = None,
) -> Accepted:
    """Store a new turn that replaces one that has ended; that one and all after it become an earlier version.

    One that failed or was stopped continues where it ended: its tools do not act again. One that is done is answered
    again. Raise NotFound, Conflict, RateLimited.
    """
    with transaction.atomic():
        context = lock(user_id, conversation_id, client_id)
        if context.known is not None:
            return _accepted(context.known, is_new=False)
        old = get_one(Turn.objects.filter(conversation=conversation_id, pk=turn_id).select_related("prompt"), "turn")
        if old.superseded_by_id is not None:
            raise Conflict("There is a newer version of this reply.")
        if old.status in ACTIVE:
            raise Conflict("This reply is not finished yet.")
        if old.status != Status.DONE and old.seq != context.last_seq:
            raise Conflict("The conversation has moved on; please send the message again.")
        context.check_limits()
        context.check_idle()
        turn = context.new_turn()
        turn.prompt, turn.replaces = old.prompt, old
        context.supersede(old, turn, keep=old.prompt_id)
        store(context, turn, runner)
        if old.status != Status.DONE:
            copy_journal(old, turn)
    return _accepted(turn, closed=context.closed)


def accept_edit(
    *,
    user_id: uuid.UUID,
    conversation_id: uuid.UUID,
    message_id: uuid.UUID,
    client_id: uuid.UUID,
    text: str,
    runner: uuid.UUID | None = None,
) -> Accepted:
    """Store a message that replaces an earlier one; that one and all after it become an earlier version.

    Raise EmptyText, TooLong, BadInput, NotFound, Conflict, RateLimited.
    """
    check_text(text)
    with transaction.atomic():
        context = lock(user_id, conversation_id, client_id)
        if context.known is not None:
            return _accepted(context.known, is_new=False)
        message = get_one(Message.objects.filter(pk=message_id, conversation=conversation_id), "message")
        if message.role != Role.USER:
            raise Conflict("Only what you said yourself can be edited.")
        current = Turn.objects.filter(conversation=conversation_id, superseded_by=None, prompt=message)
        old = current.select_related("prompt").first()
        if old is None:
            raise Conflict("There is a newer version of this message.")
        context.check_limits()
        context.check_idle()
        if context.title == title_from(message.text):
            context.title = title_from(text)
        turn = context.new_turn()
        turn.replaces = old
        context.supersede(old, turn)
        turn.prompt = context.new_message(turn, text)
        store(context, turn, runner)
    return _accepted(turn, closed=context.closed)


def check_text(text: str) -> None:
    """Refuse an invalid message. Raise EmptyText, TooLong, BadInput."""
    if not has_visible(text):
        raise EmptyText
    if len(text) > USER_TEXT_LENGTH:
        raise TooLong(f"A message has at most {USER_TEXT_LENGTH:,} characters; this one has {len(text):,}.")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadInput("The text has a character that cannot be stored.")


def title_from(text: str) -> str:
    """Make a title from a first message: its first visible line, cut at a word."""
    line = next(filter(has_visible, map(one_line, text.splitlines())), "")
    if len(line) <= TITLE_LENGTH:
        return line
    return line[: TITLE_LENGTH - 1].rsplit(" ", 1)[0].rstrip(" ,.;:") + "…"


def ahead_of(turn: Turn) -> int:
    """Count the turns that are answered before a queued one."""
    if turn.status != Status.QUEUED:
        return 0
    return Turn.objects.filter(conversation=turn.conversation_id, status__in=ACTIVE, seq__lt=turn.seq).count()


def _accepted(turn: Turn, *, is_new: bool = True, closed: Cancelled | None = None) -> Accepted:
    return Accepted(MessageOut.of(turn.prompt), turn, ahead_of(turn), is_new, closed)
