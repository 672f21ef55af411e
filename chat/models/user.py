"""Users."""

import uuid
import zoneinfo
from functools import cache
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from chat.models.email import EmailAddressField, normalize_email


@cache
def _time_zones() -> frozenset[str]:
    """Return the names, read once: they are files of a folder."""
    return frozenset(zoneinfo.available_timezones())


def is_time_zone(name: str) -> bool:
    """Return whether a name is an IANA time zone."""
    return name in _time_zones()


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """Return the zone of a name, or UTC if it is unknown."""
    return zoneinfo.ZoneInfo(name if is_time_zone(name) else "UTC")


def validate_time_zone(name: str) -> None:
    """Refuse a name that is not an IANA time zone."""
    if not is_time_zone(name):
        raise ValidationError("“%(name)s” is not a time zone.", params={"name": name})


class UserManager(BaseUserManager["User"]):
    """Creates users and finds them by e-mail, regardless of letter case."""

    def by_email(self, email: str) -> "User | None":
        """Return the user with an address; if each spelling has an account, that of the given spelling."""
        found = {user.email: user for user in self.filter(email=email)}
        return found.get(normalize_email(email)) or next(iter(found.values()), None)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a user, who cannot sign in without a password."""
        if not email:
            raise ValueError("An e-mail address is needed.")
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a superuser."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class WeekStart(models.IntegerChoices):
    """The days on which weeks start, in one country or another, as ISO numbers them."""

    MONDAY = 1, "Monday"
    SATURDAY = 6, "Saturday"
    SUNDAY = 7, "Sunday"


class User(AbstractBaseUser, PermissionsMixin):
    """A user who signs in with an e-mail address and a password."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = EmailAddressField(
        "e-mail address", unique=True, error_messages={"unique": "There is an account with this e-mail address."}
    )
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    week_start = models.PositiveSmallIntegerField(choices=WeekStart.choices, default=1, db_default=1)
    is_active = models.BooleanField("active", default=True)
    is_staff = models.BooleanField("staff", default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            # Unique regardless of letter case.
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_lower_case"),
            models.CheckConstraint(condition=Q(week_start__in=WeekStart.values), name="user_week_start_known"),
        ]
        permissions = [
            ("deactivate_user", "Can deactivate people and let them in again"),
            ("export_user", "Can export everything about a person"),
            ("erase_user", "Can erase a person"),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The user's time zone."""
        return zone_of(self.time_zone)


class FormerEmail(models.Model):
    """An earlier e-mail address of an account. A trigger writes it, however the address is changed."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="former_emails")
    email = EmailAddressField("e-mail address")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "email"], name="former_email_once")]

    def __str__(self) -> str:
        return self.email
