"""Mails about accounts, with rate limits. A response never reveals whether an account exists."""

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.http import HttpRequest
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from chat.accounts import links
from chat.accounts.limits import Limit
from chat.accounts.mail_threads import in_background, send
from chat.exceptions import RateLimited
from chat.infra.client_address import client_address, limit_key
from chat.infra.public_url import public_origin
from chat.models import User
from chat.models.email import canonical_email

TOO_MANY = "Too many mails were asked for. Please wait."
PER_ADDRESS = Limit("mails asked for by an address", settings.MAILS_PER_HOUR, timedelta(hours=1), TOO_MANY)
PER_MAILBOX = Limit("mails to a mailbox", 1, timedelta(minutes=5), TOO_MANY)


def ask_for_mail(request: HttpRequest, send_one: Callable[..., None], **values: object) -> None:
    """Send a mail in the background with one of the functions below. Raise RateLimited, ServerBusy."""
    PER_ADDRESS.count(limit_key(client_address(request)))
    in_background(send_one, origin=public_origin(request), **values)


def send_reset_link(*, email: str, origin: str) -> None:
    """Send a link to set a new password, if the address has an account."""
    user = User.objects.by_email(email)
    if user is not None and user.is_active and user.has_usable_password() and may_send("reset", email):
        uid, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
        send("password_reset", to=user.email, origin=origin, uid=uid, token=token)


def send_sign_up_link(*, email: str, origin: str) -> None:
    """Send a link to create an account, or a note if the address has one."""
    if not may_send("sign-up", email):
        return
    if User.objects.filter(email=email).exists():
        send("address_taken", to=email, origin=origin)
    else:
        send("sign_up", to=email, origin=origin, token=links.sign_up_token(email))


def send_change_link(*, user: User, email: str, origin: str) -> None:
    """Send a link that confirms a new address of an account, or a note if another account has it."""
    if not may_send("change of address", email):
        return
    if User.objects.filter(email=email).exclude(pk=user.pk).exists():
        send("address_taken", to=email, origin=origin)
    else:
        send("change_email", to=email, origin=origin, token=links.change_token(user, email))


def may_send(kind: str, email: str) -> bool:
    """Return whether a mailbox may get another mail of a kind now, and count it, so that none is flooded."""
    try:
        PER_MAILBOX.count(kind, canonical_email(email))
    except RateLimited:
        return False
    return True
