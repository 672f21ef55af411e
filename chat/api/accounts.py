"""A person's own account, and the tokens of their programs."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status
from pydantic import AfterValidator

from chat.accounts import mail, tokens
from chat.accounts import services as accounts
from chat.accounts.tokens import NewToken
from chat.api.auth import AnyClient, SignedIn, caller
from chat.api.idempotency import CreationKey, once
from chat.api.paging import Listed, Page, Paging, moment_cursor, page
from chat.api.schemas import ErrorReply, Input, Moment, Text
from chat.exceptions import Conflict
from chat.models import ApiToken, User
from chat.models.email import MAX_LENGTH, normalize_email
from chat.models.token import NAME_LENGTH

router = Router(tags=["auth"], auth=SignedIn())
themselves = SignedIn(themselves=True)
anybody = AnyClient()

ADDRESS = "ada@example.com"


def _address(text: str) -> str:
    address = normalize_email(text)
    try:
        validate_email(address)
    except ValidationError:
        raise ValueError("It is not an e-mail address.") from None
    if len(address) > MAX_LENGTH:
        raise ValueError(f"It has more than {MAX_LENGTH} characters.")
    return address


Address = Annotated[
    Text,
    Field(max_length=MAX_LENGTH),
    AfterValidator(_address),
    Field(json_schema_extra={"format": "email"}, examples=[ADDRESS]),
]
Password = Annotated[Text, Field(min_length=1, max_length=1_000, json_schema_extra={"format": "password"})]


class Credentials(Input):
    """What people sign in with."""

    email: Address
    password: Password = Field(examples=["correct horse battery"])


class NewAccount(Credentials):
    """What an account begins with."""

    time_zone: str = Field(
        "UTC",
        max_length=64,
        description="An IANA name, old ones (`US/Eastern`) too; an unknown one becomes UTC.",
        examples=["Europe/Berlin"],
    )


class SignedInReply(Schema):
    """An account, and a token for it: valid for 30 days, unless the site is configured otherwise."""

    user_id: uuid.UUID
    email: str = Field(examples=[ADDRESS])
    access_token: str = Field(description="To be sent as `Authorization: Bearer`.", examples=["tk_…"])


class MailSentReply(Schema):
    """What to do next."""

    detail: str


class Account(Schema):
    """An account."""

    user_id: uuid.UUID
    email: str = Field(examples=[ADDRESS])
    created_at: datetime
    is_active: bool


class TokenRequest(Input):
    """A token to be made."""

    name: Text = Field(min_length=1, max_length=NAME_LENGTH, pattern=r"\S", examples=["My script"])
    scopes: list[Literal["chat", "tasks", "sessions"]] = Field(min_length=1, max_length=3, examples=[["tasks"]])
    expires_at: Moment | None = Field(
        None, description="Within ten years; null for a token that holds until it is revoked."
    )


class TokenReply(Schema):
    """A token, without its key."""

    token_id: uuid.UUID
    name: str = Field(examples=["My script"])
    scopes: list[str] = Field(examples=[["tasks"]])
    beginning: str = Field(description="How its key begins.", examples=["tk_x7Qa2"])
    is_sign_in: bool = Field(description="Whether a sign-in made it: it ends with the password.")
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None
    is_valid: bool = Field(description="Whether it opens anything.")


class TokenPage(Page[TokenReply]):
    """A part of a list."""


class NewTokenReply(TokenReply):
    """A token that was just made, with its key, which is shown this once."""

    access_token: str = Field(description="To be sent as `Authorization: Bearer`.", examples=["tk_…"])


@router.post(
    "/register",
    response={201: SignedInReply, 202: MailSentReply, 400: ErrorReply, 403: ErrorReply, 409: ErrorReply},
    auth=anybody,
)
def register(request: HttpRequest, body: NewAccount) -> Status[SignedInReply] | Status[MailSentReply]:
    """Create an account, and sign in to it.

    202 if the server sends mail, for every address alike: the mail has a link to choose a password; the one in the
    request is not kept. 400 for a weak password, 403 if sign-up is closed, 409 if the address has an account and the
    server sends no mail.
    """
    accounts.check_sign_up(email=body.email, password=body.password)
    if settings.EMAIL_URL:
        mail.ask_for_mail(request, mail.send_sign_up_link, email=body.email)
        return Status(202, MailSentReply(detail="Look in the mailbox of the address, and follow the link in the mail."))
    accounts.check_free(body.email)
    user = accounts.sign_up(email=body.email, password=body.password, time_zone=body.time_zone)
    return Status(201, _signed_in(tokens.make_by_sign_in(user)))


@router.post("/login", response={200: SignedInReply, 401: ErrorReply, 403: ErrorReply}, auth=anybody)
def sign_in(request: HttpRequest, body: Credentials) -> SignedInReply:
    """Sign in for a program: return a token for all that the person may do.

    401 for a wrong address or password, 403 if the account is closed, 429 after too many attempts, those at the page
    included.
    """
    user = accounts.sign_in(request, email=body.email, password=body.password)
    return _signed_in(tokens.make_by_sign_in(user))


@router.get("/me", response=Account)
def get_me(request: HttpRequest) -> Account:
    """Return the account of the caller."""
    user = caller(request).user
    return Account(user_id=user.pk, email=user.email, created_at=user.created_at, is_active=user.is_active)


@router.get("/tokens", response=TokenPage, auth=themselves)
def list_tokens(request: HttpRequest, paging: Query[Paging]) -> Listed[TokenReply]:
    """List the caller's tokens, the newest first, with those that ended in the last 30 days."""
    found = tokens.page_of_person(caller(request).user.pk, after=paging.moment, limit=paging.limit)
    listed = page(found, limit=paging.limit, cursor=lambda token: moment_cursor(token.created_at, token.pk))
    return listed.map(_token_reply)


@router.post("/tokens", response={201: NewTokenReply, 409: ErrorReply}, auth=themselves)
def create_token(request: HttpRequest, body: TokenRequest, idempotency_key: CreationKey = "") -> Status[NewTokenReply]:
    """Create a token for a program. Its key is shown this once.

    A scope opens nothing that the person may not do. 409 if there are a hundred already, or if the idempotency key has
    created a token before.
    """
    user = caller(request).user
    made, _ = once(
        user.pk,
        "create_token",
        idempotency_key,
        body,
        create=lambda: tokens.make(user=user, name=body.name, scopes=body.scopes, expires_at=body.expires_at),
        id_of=lambda made: made.token.pk,
        find=_already_made,
    )
    return Status(201, NewTokenReply(**_token_reply(made.token).model_dump(), access_token=made.key))


@router.delete("/tokens/{uuid:token_id}", response={204: None}, auth=themselves)
def revoke_token(request: HttpRequest, token_id: uuid.UUID) -> Status[None]:
    """Revoke a token, and end what is open with it."""
    tokens.revoke(user_id=caller(request).user.pk, token_id=token_id)
    return Status(204, None)


def _already_made(token_id: uuid.UUID) -> NewToken:
    raise Conflict(f"This request has made the token {token_id}, whose key was shown once. Revoke it and make another.")


def _signed_in(made: NewToken) -> SignedInReply:
    user: User = made.token.user
    return SignedInReply(user_id=user.pk, email=user.email, access_token=made.key)


def _token_reply(token: ApiToken) -> TokenReply:
    return TokenReply(
        token_id=token.pk,
        name=token.name,
        scopes=token.scopes,
        beginning=token.beginning,
        is_sign_in=bool(token.signed_in_by),
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
        is_valid=token.holds(timezone.now()),
    )
