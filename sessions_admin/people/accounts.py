"""Close a person's account, and open it again: for the admin, and as the first step of an erasure."""

import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import Q

from chat.accounts import login_sessions, tokens
from chat.exceptions import BadInput, Conflict, NotFound, ServerStopping
from chat.infra import notifications
from chat.models import Turn, User
from chat.models.turn import ACTIVE
from chat.turns import process
from chat.turns.stop import request_stop
from sessions_admin import audit
from sessions_admin.models import Action


@dataclass(frozen=True, slots=True)
class Closing:
    """What ended with an account."""

    logins: int
    turns: int
    tokens: int

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return asdict(self)


def find(name: str) -> User:
    """Return the person with an e-mail address or an id. Raise NotFound."""
    try:
        person = User.objects.filter(pk=uuid.UUID(name)).first()
    except ValueError:
        person = User.objects.by_email(name)
    if person is None:
        raise NotFound(f"No person has the e-mail address or the id {name.strip()}.")
    return person


def deactivate_person(person_id: uuid.UUID, *, actor: str, reason: str) -> Closing:
    """Close an account: sign-in is refused, logins, tokens and sockets end, turns stop. Nothing is removed.

    Raise NotFound, BadInput without a reason, Conflict where the actor may not.
    """
    if not reason.strip():
        raise BadInput("Closing an account needs a reason.")
    if actor == str(person_id):
        raise Conflict("Nobody closes their own account here; it can be deleted on the page “Your data”.")
    attempt = audit.attempt(Action.DEACTIVATE, actor=actor, person=person_id, reason=reason)
    with attempt, transaction.atomic(durable=True):
        person = locked(person_id, actor=actor)
        check_not_last(person)
        person.is_active = False
        person.save(update_fields=["is_active"])
        audit.record(Action.DEACTIVATE, actor=actor, person=person_id, reason=reason)
    return end_everything(person_id)


def reactivate_person(person_id: uuid.UUID, *, actor: str, reason: str = "") -> Closing:
    """Open a closed account again; logins and tokens from before stay ended.

    Raise NotFound, Conflict where the actor may not.
    """
    attempt = audit.attempt(Action.REACTIVATE, actor=actor, person=person_id, reason=reason)
    with attempt, transaction.atomic(durable=True):
        person = locked(person_id, actor=actor)
        # Closing may have been cut off before all of them were: with the account they would come back.
        ended, ended_tokens = login_sessions.end_all(person_id), tokens.end_all(person_id)
        person.is_active = True
        person.save(update_fields=["is_active"])
        audit.record(Action.REACTIVATE, actor=actor, person=person_id, reason=reason)
    return Closing(ended, 0, ended_tokens)


def locked(person_id: uuid.UUID, *, actor: str) -> User:
    """Lock a user whom the actor may change until the transaction ends: no message is accepted meanwhile.

    Raise NotFound, Conflict.
    """
    # The administrators too, in one order: two of them may be closing each other's accounts.
    rows = User.objects.select_for_update(no_key=True).filter(Q(pk=person_id) | Q(is_superuser=True)).order_by("pk")
    person = next((row for row in rows if row.pk == person_id), None)
    if person is None:
        raise NotFound("There is no such person.")
    check_may_touch(person, actor=actor)
    return person


def check_may_touch(person: User, *, actor: str) -> None:
    """Raise Conflict if the user is an administrator and the actor is not. A shell may do everything."""
    if not person.is_superuser or actor.startswith("os:"):
        return
    if not User.objects.filter(pk=actor, is_superuser=True, is_active=True).exists():
        raise Conflict("Only an administrator may do this to an administrator.")


def check_not_last(person: User) -> None:
    """Raise Conflict for the last active administrator."""
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=person.pk)
    if person.is_superuser and person.is_active and not others.exists():
        raise Conflict("This is the only administrator; make somebody else one first.")


def end_everything(person_id: uuid.UUID) -> Closing:
    """End the logins, tokens, sockets and turns of a closed account.

    What another server process holds open ends with its next look: a turn within 2 seconds, a socket within 5.
    """
    turns = _stop_turns(person_id)
    notifications.on_commit(notifications.signed_out, person_id)
    return Closing(login_sessions.end_all(person_id), turns, tokens.end_all(person_id))


def _stop_turns(person_id: uuid.UUID) -> int:
    active = Turn.objects.filter(user=person_id, status__in=ACTIVE)
    # From the back of each queue, so that none begins because the one before it has ended.
    found = list(active.order_by("-seq").values_list("conversation_id", "pk"))
    for conversation_id, turn_id in found:
        with suppress(NotFound):
            _stop(user_id=person_id, conversation_id=conversation_id, turn_id=turn_id)
    return len(found)


def _stop(*, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> None:
    turn = {"user_id": user_id, "conversation_id": conversation_id, "turn_id": turn_id}
    try:
        runner = process.current()
    except ServerStopping:  # not in a server
        request_stop(**turn)
    else:
        async_to_sync(runner.stop)(**turn)
