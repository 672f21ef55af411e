"""Close and reopen accounts: for the admin, and as the first step of an erasure."""

import uuid
from contextlib import suppress
from dataclasses import dataclass

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
from sessions_admin.reports import Report


@dataclass(frozen=True, slots=True)
class Closing(Report):
    """What ended with an account."""

    logins: int
    turns: int
    tokens: int


def find(name: str) -> User:
    """Return the user with an e-mail address or an id. Raise NotFound."""
    try:
        person = User.objects.filter(pk=uuid.UUID(name)).first()
    except ValueError:
        person = User.objects.by_email(name)
    if person is None:
        raise NotFound(f"No user has the e-mail address or the id {name.strip()}.")
    return person


def deactivate_person(person_id: uuid.UUID, *, actor: str, reason: str) -> Closing:
    """Close an account: sign-in is refused, logins, tokens and sockets end, turns stop. Nothing is removed.

    Raise NotFound, BadInput without a reason, and Conflict if the actor may not.
    """
    if not reason.strip():
        raise BadInput("Closing an account requires a reason.")
    if actor == str(person_id):
        raise Conflict("You cannot close your own account here; you can delete it on the page “Your data”.")
    attempt = audit.attempt(Action.DEACTIVATE, actor=actor, person=person_id, reason=reason)
    with attempt, transaction.atomic(durable=True):
        person = lock_person(person_id, actor=actor)
        check_not_last(person)
        person.is_active = False
        person.save(update_fields=["is_active"])
        audit.record(Action.DEACTIVATE, actor=actor, person=person_id, reason=reason)
    return end_access(person_id)


def reactivate_person(person_id: uuid.UUID, *, actor: str, reason: str = "") -> Closing:
    """Reopen a closed account; earlier logins and tokens stay ended.

    Raise NotFound, and Conflict if the actor may not, or the person was erased.
    """
    attempt = audit.attempt(Action.REACTIVATE, actor=actor, person=person_id, reason=reason)
    with attempt, transaction.atomic(durable=True):
        person = lock_person(person_id, actor=actor)
        if audit.completed_erasures(person_id).exists():
            raise Conflict("The person was erased: the account stays closed.")
        # Closing the account may have been interrupted: the remaining ones would become valid again.
        ended, ended_tokens = login_sessions.end_all(person_id), tokens.end_all(person_id)
        person.is_active = True
        person.save(update_fields=["is_active"])
        audit.record(Action.REACTIVATE, actor=actor, person=person_id, reason=reason)
    return Closing(ended, 0, ended_tokens)


def lock_person(person_id: uuid.UUID, *, actor: str) -> User:
    """Lock a user whom the actor may change until the transaction ends; no message is accepted meanwhile.

    Raise NotFound, Conflict.
    """
    # Lock the administrators, too, in one order: two of them may be closing each other's accounts.
    rows = User.objects.select_for_update(no_key=True).filter(Q(pk=person_id) | Q(is_superuser=True)).order_by("pk")
    person = next((row for row in rows if row.pk == person_id), None)
    if person is None:
        raise NotFound("There is no such user.")
    check_may_change(person, actor=actor)
    return person


def check_may_change(person: User, *, actor: str) -> None:
    """Raise Conflict if the user is an administrator and the actor is not. Commands may do everything."""
    if not person.is_superuser or actor.startswith("os:"):
        return
    if not User.objects.filter(pk=actor, is_superuser=True, is_active=True).exists():
        raise Conflict("Only an administrator may do this to an administrator.")


def check_demotion(person_id: uuid.UUID, *, actor: str) -> None:
    """Lock a user who is about to lose the rights of staff or of an administrator. Raise NotFound, Conflict."""
    if actor == str(person_id):
        raise Conflict("You would lock yourself out of the administration; ask another administrator to do this.")
    check_not_last(lock_person(person_id, actor=actor))


def check_not_last(person: User) -> None:
    """Raise Conflict for the last active administrator."""
    others = User.objects.filter(is_superuser=True, is_staff=True, is_active=True).exclude(pk=person.pk)
    if person.is_superuser and person.is_active and not others.exists():
        raise Conflict("This is the only administrator; appoint another one first.")


def end_access(person_id: uuid.UUID) -> Closing:
    """End the logins, tokens, sockets and turns of a closed account.

    Other server processes notice within 2 seconds for a turn, and within 5 for a socket.
    """
    turns = _stop_turns(person_id)
    notifications.on_commit(notifications.signed_out, person_id)
    return Closing(login_sessions.end_all(person_id), turns, tokens.end_all(person_id))


def _stop_turns(person_id: uuid.UUID) -> int:
    active = Turn.objects.filter(user=person_id, status__in=ACTIVE)
    # From the end of each queue, so that no turn starts because the one before it has ended.
    found = list(active.order_by("-seq").values_list("conversation_id", "pk"))
    for conversation_id, turn_id in found:
        with suppress(NotFound):
            _stop(user_id=person_id, conversation_id=conversation_id, turn_id=turn_id)
    return len(found)


def _stop(*, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> None:
    turn = {"user_id": user_id, "conversation_id": conversation_id, "turn_id": turn_id}
    try:
        runner = process.current()
    except ServerStopping:  # not in a server process
        request_stop(**turn)
    else:
        async_to_sync(runner.stop)(**turn)
