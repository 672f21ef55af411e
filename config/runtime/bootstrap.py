"""Prepare a database for serving: tables, the cache table, schedules, the first administrator."""

import logging
import os
import secrets
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.validators import validate_email

from config.exceptions import CannotStart

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FirstAdmin:
    """The administrator that was created; `password` is None if it came from the environment and need not be shown."""

    email: str
    password: str | None


def prepare() -> FirstAdmin | None:
    """Bring the database up to date; return the administrator if one was created. Raise CannotStart."""
    from chat.memory.removal import finish_deletions
    from config.versions import refuse_newer_database
    from sessions_admin import schedules
    from sessions_admin.stores.leftovers import remove_leftovers

    refuse_newer_database()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)
    schedules.ensure()
    schedules.ensure_samples()
    remove_leftovers(is_alone=True)
    # No process of this installation reads the session file now, so that pending deletions can be finished.
    finish_deletions(seconds=1)
    return _first_admin()


def _first_admin() -> FirstAdmin | None:
    from chat.models import User
    from chat.models.email import normalize_email

    if User.objects.filter(is_superuser=True).exists():
        return None
    #: The first administrator. By default `admin@localhost`.
    email = normalize_email(os.environ.get("ADMIN_EMAIL", "")) or "admin@localhost"
    try:
        validate_email(email)
    except ValidationError as error:
        raise CannotStart(f"ADMIN_EMAIL={email!r} cannot be used: it must be an e-mail address.") from error
    #: Their password. By default generated, and shown once.
    chosen = os.environ.get("ADMIN_PASSWORD", "")
    if User.objects.filter(email=email).exists():
        if not os.environ.get("ADMIN_EMAIL"):
            logger.warning("No account is an administrator. Start with ADMIN_EMAIL set to a new address to create one.")
            return None
        raise CannotStart(f"ADMIN_EMAIL={email!r} cannot be used: an account with this address exists.")
    password = chosen or secrets.token_urlsafe(12)
    User.objects.create_superuser(email, password)
    return FirstAdmin(email, None if chosen else password)


if __name__ == "__main__":
    import django

    django.setup()
    prepare()
