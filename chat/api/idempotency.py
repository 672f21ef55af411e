"""Create something once for each idempotency key."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, TypeVar

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from ninja import Header
from pydantic import BaseModel

from chat.exceptions import KeyReused
from chat.models import IdempotentRequest

T = TypeVar("T")

LIFETIME = timedelta(hours=24)
LONGEST_KEY = 255

CreationKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=LONGEST_KEY,
        description="For 24 hours, the same key creates nothing again; with another body it is refused (422).",
    ),
]


def once(
    user_id: uuid.UUID,
    operation: str,
    key: str,
    body: BaseModel,
    *,
    create: Callable[[], T],
    id_of: Callable[[T], uuid.UUID],
    find: Callable[[uuid.UUID], T],
) -> tuple[T, bool]:
    """Create something, or find what the key has created before; return it, and whether it is new.

    Of two requests at once the second waits for the first. Without a key, something is always created. Raise KeyReused
    where the body is another one, and what `create` and `find` raise.
    """
    if not key:
        return create(), True
    request = IdempotentRequest(
        key=_hashed(user_id, operation, key), body=_hashed(body.model_dump_json()), expires_at=timezone.now() + LIFETIME
    )
    with transaction.atomic():
        IdempotentRequest.objects.filter(key=request.key, expires_at__lte=timezone.now()).delete()
        # Waits for another transaction that is about to store the same key.
        IdempotentRequest.objects.bulk_create([request], ignore_conflicts=True)
        stored = IdempotentRequest.objects.select_for_update().get(key=request.key)
        if stored.created_id is None:
            created = create()
            IdempotentRequest.objects.filter(key=request.key).update(created_id=id_of(created))
            return created, True
    if stored.body != request.body:
        raise KeyReused
    return find(stored.created_id), False


def forget_expired() -> int:
    """Remove the keys that are older than their lifetime; return their number."""
    removed, _ = IdempotentRequest.objects.filter(expires_at__lte=timezone.now()).delete()
    return removed


def _hashed(*values: object) -> str:
    return salted_hmac(__name__, repr(values), algorithm="sha256").hexdigest()
