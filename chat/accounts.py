"""Verbs of a person's own account."""

from datetime import timedelta

from django.core.cache import cache
from django.db import IntegrityError, transaction

from chat.exceptions import Conflict
from chat.models import User
from chat.models.user import is_time_zone

RESET_MAIL_PAUSE = timedelta(minutes=5)


class EmailTaken(Conflict):
    """Another account has this e-mail address."""

    code = "taken"

    def __init__(self) -> None:
        super().__init__("There is an account with this e-mail address.")


def sign_up(*, email: str, password: str, time_zone: str) -> User:
    """Make an account; a time zone that nobody knows becomes UTC.

    Raises EmailTaken, also when two people ask for one address at the same moment.
    """
    try:
        with transaction.atomic():
            return User.objects.create_user(
                email=email, password=password, time_zone=time_zone if is_time_zone(time_zone) else "UTC"
            )
    except IntegrityError:
        raise EmailTaken from None


def change_email(user: User, *, email: str) -> None:
    """Give an account another e-mail address, or raise EmailTaken."""
    address = email.strip().lower()
    try:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(email=address)
    except IntegrityError:
        raise EmailTaken from None
    user.email = address


def change_time_zone(user: User, *, time_zone: str) -> None:
    """Let an account's times be shown, and its words for days be understood, in another time zone."""
    User.objects.filter(pk=user.pk).update(time_zone=time_zone)
    user.time_zone = time_zone


def may_send_reset_mail(email: str) -> bool:
    """Tell whether an address may get another reset mail now, and count this one: nobody's mailbox can be flooded."""
    return cache.add(reset_mail_key(email), True, RESET_MAIL_PAUSE.total_seconds())


def reset_mail_key(email: str) -> str:
    """Name what the cache keeps of an address that was sent a reset mail."""
    return f"reset-mail:{email.strip().lower()}"
