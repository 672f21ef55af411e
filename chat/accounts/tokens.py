"""Tokens authenticate API and MCP clients. A key is created once, shown once, and stored as a hash."""

import secrets
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chat.exceptions import BadToken, Conflict, NotSignedIn
from chat.infra import notifications
from chat.infra.lookup import get_one
from chat.infra.pagination import newest_first
from chat.infra.visible import has_visible, one_line
from chat.models import ApiToken, User
from chat.models.token import NAME_LENGTH, ApiTokenQuerySet, Scope, hash_of

PREFIX = "tk_"
MAX_KEY_LENGTH = 128  # characters of a possible key: longer ones are not hashed
MAX_TOKENS = 100  # valid ones per user
USE_INTERVAL = timedelta(minutes=1)
MAX_LIFETIME = timedelta(days=3660)
KEEP_ENDED = timedelta(days=30)
SIGN_IN = "Sign-in by a program"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token, and its key, which is not stored."""

    token: ApiToken
    key: str


def scopes_of(user: User) -> list[Scope]:
    """Return the scopes that a token of this user can have."""
    return [scope for scope in Scope if scope != Scope.SESSIONS or user.is_staff]


def make(*, user: User, name: str, scopes: Iterable[str], expires_at: datetime | None = None) -> NewToken:
    """Create a token. Raise BadToken, or Conflict if there are too many.

    A scope never exceeds the user's own permissions, and only staff may have that of sessions.
    """
    name = one_line(name)
    if not has_visible(name):
        raise BadToken("A token needs a name.")
    if len(name) > NAME_LENGTH or "\x00" in name:
        raise BadToken(f"A name has at most {NAME_LENGTH} characters, each of them one that can be stored.")
    now = timezone.now()
    if expires_at is not None and not now < expires_at < now + MAX_LIFETIME:
        raise BadToken("The end of a token must be in the future and within ten years.")
    with transaction.atomic():
        _lock(user)
        if _valid(user).count() >= MAX_TOKENS:
            raise Conflict(f"There are {MAX_TOKENS} tokens already; revoke one that is not needed.")
        asked, allowed = set(scopes), scopes_of(user)
        if not asked or not asked <= set(allowed):
            raise BadToken("A token has one or more of these scopes: " + ", ".join(allowed) + ".")
        return _make(user=user, name=name, scopes=asked, expires_at=expires_at)


def make_by_sign_in(user: User) -> NewToken:
    """Create a token for a client in which a user has just signed in: with all their scopes, for a limited time.

    It ends with the password, as every login does. If there are too many, the oldest one ends.
    """
    with transaction.atomic():
        _lock(user)
        living = _valid(user)
        if living.count() >= MAX_TOKENS:
            first = living.exclude(signed_in_by="").order_by("created_at").values("pk")[:1]
            _end(ApiToken.objects.filter(pk__in=first))
        return _make(
            user=user,
            name=SIGN_IN,
            scopes=scopes_of(user),
            expires_at=timezone.now() + timedelta(days=settings.API_SIGN_IN_DAYS),
            signed_in_by=user.get_session_auth_hash(),
        )


def made_with(key: str, *, user_id: uuid.UUID) -> NewToken | None:
    """Return a user's valid token by its key, for showing it; this is no use of it."""
    token = ApiToken.objects.owned_by(user_id).living(timezone.now()).filter(hash=hash_of(key)).first()
    return NewToken(token, key) if token else None


def _make(
    *, user: User, name: str, scopes: Collection[str], expires_at: datetime | None, signed_in_by: str = ""
) -> NewToken:
    now = timezone.now()
    # Tokens that ended long ago are removed from the list.
    gone = Q(expires_at__lt=now - KEEP_ENDED) | Q(revoked_at__lt=now - KEEP_ENDED)
    ApiToken.objects.owned_by(user.pk).filter(gone).delete()
    key = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        name=name,
        scopes=sorted(scopes, key=Scope.values.index),
        hash=hash_of(key),
        beginning=key[: len(PREFIX) + 5],
        signed_in_by=signed_in_by,
        created_at=now,
        expires_at=expires_at,
    )
    return NewToken(token, key)


def _lock(user: User) -> None:
    """Serialise the creation of a user's tokens."""
    User.objects.select_for_update(no_key=True).filter(pk=user.pk).values("pk").first()


def _valid(user: User) -> ApiTokenQuerySet:
    return ApiToken.objects.owned_by(user.pk).living(timezone.now())


# Validity.


def bearer_of(header: str) -> str | None:
    """Return the key in an Authorization header, or None if it is of another type."""
    kind, _, key = header.strip().partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


def find(key: str) -> ApiToken:
    """Return the token of a key, with its user, and record its use.

    Raise NotSignedIn, with the same message for all reasons.
    """
    now = timezone.now()
    known = len(key) <= MAX_KEY_LENGTH
    token = ApiToken.objects.select_related("user").filter(hash=hash_of(key if known else "")).first()
    if token is None or not token.holds(now):
        raise NotSignedIn("This token is not valid: it was never given out, has expired, or was revoked.")
    before = now - USE_INTERVAL
    if token.last_used_at is None or token.last_used_at < before:
        unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lt=before)
        ApiToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=now)
        token.last_used_at = now
    return token


def owner_of_key(key: str) -> uuid.UUID | None:
    """Return the id of the user who owns a key, valid or not, or None."""
    if len(key) > MAX_KEY_LENGTH:
        return None
    return ApiToken.objects.filter(hash=hash_of(key)).values_list("user_id", flat=True).first()


def holds(token_id: uuid.UUID) -> bool:
    """Return whether a token is still valid."""
    return not ended([token_id])


def ended(token_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return which tokens are no longer valid, for connections that outlive a request."""
    now = timezone.now()
    there = ApiToken.objects.select_related("user").filter(pk__in=token_ids)
    return set(token_ids) - {token.pk for token in there if token.holds(now)}


# Listing and revoking.


def of_user(user_id: uuid.UUID) -> list[ApiToken]:
    """Return a user's tokens, the newest first; includes recently ended ones."""
    return list(ApiToken.objects.owned_by(user_id).select_related("user").order_by("-created_at", "-id"))


def page_of_person(user_id: uuid.UUID, *, after: tuple[datetime, uuid.UUID] | None, limit: int) -> list[ApiToken]:
    """Return a page of a user's tokens, the newest first; one more than the limit, if there is."""
    tokens = ApiToken.objects.owned_by(user_id).select_related("user")
    return newest_first(tokens, by="created_at", after=after, limit=limit)


def valid_token(*, user_id: uuid.UUID, token_id: uuid.UUID) -> ApiToken | None:
    """Return a valid token of a user, or None."""
    return ApiToken.objects.owned_by(user_id).living(timezone.now()).filter(pk=token_id).first()


def revoke(*, user_id: uuid.UUID, token_id: uuid.UUID) -> ApiToken:
    """Revoke a token, and close its connections; one that has ended is unchanged. Raise NotFound."""
    token = get_one(ApiToken.objects.owned_by(user_id).select_related("user").filter(pk=token_id), "token")
    if _end(ApiToken.objects.filter(pk=token.pk)):
        token.refresh_from_db(fields=["revoked_at"])
        notifications.on_commit(notifications.signed_out, user_id, str(token_id))
    return token


def end_all(user_id: uuid.UUID) -> int:
    """End a user's tokens; return how many were valid."""
    return _end(ApiToken.objects.owned_by(user_id))


def _end(tokens: ApiTokenQuerySet) -> int:
    now = timezone.now()
    return tokens.living(now).update(revoked_at=now)
