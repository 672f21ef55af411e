"""A person's own account, and the tokens of their programs."""

import uuid
from datetime import datetime

from django.http import HttpRequest
from ninja import Field, Router, Schema

from chat.api.caller import SignedIn, caller
from chat.models import User

router = Router(tags=["auth"], auth=SignedIn())


class Me(Schema):
    """Whose account it is."""

    user_id: uuid.UUID
    email: str = Field(examples=["ada@example.com"])
    created_at: datetime
    is_active: bool


@router.get("/me", response=Me)
def get_me(request: HttpRequest) -> Me:
    """Say whose account this is."""
    return _me(caller(request).user)


def _me(user: User) -> Me:
    return Me(user_id=user.pk, email=user.email, created_at=user.created_at, is_active=user.is_active)
