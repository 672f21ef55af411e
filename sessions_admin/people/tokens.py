"""Tokens of users' programs, for staff, without their keys."""

import uuid

from django.db import transaction

from chat.accounts import tokens
from chat.exceptions import BadInput, Conflict, NotFound
from chat.models import ApiToken
from sessions_admin import audit
from sessions_admin.models import Action
from sessions_admin.people.accounts import check_may_change


def revoke_token(token_id: uuid.UUID, *, actor: str, reason: str) -> ApiToken:
    """Revoke a user's token, and end its connections.

    Raise NotFound, BadInput without a reason, Conflict if it is already revoked or the actor may not.
    """
    if not reason.strip():
        raise BadInput("Revoking a user's token requires a reason.")
    person_id = ApiToken.objects.filter(pk=token_id).values_list("user_id", flat=True).first()
    attempt = audit.attempt(Action.REVOKE_TOKEN, actor=actor, person=person_id, reason=reason)
    with attempt, transaction.atomic(durable=True):
        token = ApiToken.objects.select_related("user").select_for_update(of=("self",)).filter(pk=token_id).first()
        if token is None:
            raise NotFound("There is no such token.")
        check_may_change(token.user, actor=actor)
        if token.revoked_at is not None:
            raise Conflict("This token is already revoked.")
        revoked = tokens.revoke(user_id=token.user_id, token_id=token_id)
        audit.record(Action.REVOKE_TOKEN, actor=actor, person=token.user_id, reason=reason, token=str(token_id))
    return revoked
