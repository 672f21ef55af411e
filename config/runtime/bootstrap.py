"""Prepare a database for serving: tables, the cache table, schedules, the first administrator."""

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.validators import validate_email
from django.db import DatabaseError, OperationalError, connection
from psycopg.errors import LockNotAvailable

from config.exceptions import CannotStart

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = "20s"  # of a migration: every request would wait behind it


@dataclass(frozen=True)
class FirstAdmin:
    """The administrator that was created; `password` is None if it came from the environment and need not be shown."""

    email: str
    password: str | None


def prepare() -> FirstAdmin | None:
    """Bring the database up to date, and tidy the data folder, which no other process of this installation uses now.

    Return the administrator if one was created. Raise CannotStart.
    """
    from chat.memory.removal import finish_deletions
    from sessions_admin.stores.leftovers import remove_leftovers

    with _alone_at_the_database():
        _migrate()
        remove_leftovers(is_alone=True)
        finish_deletions(seconds=1)
        return _first_admin()


@contextmanager
def _alone_at_the_database() -> Iterator[None]:
    """Wait until no other process prepares the same database.

    The lock belongs to a transaction, so that none is left behind a pooler.
    """
    with psycopg.connect(**connection.get_connection_params()) as other:
        # Migrations may take longer than the database allows a transaction to be idle, or a statement to wait.
        for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):
            other.execute("SELECT set_config(%s, '0', true)", [limit])
        other.execute("SELECT pg_advisory_xact_lock(hashtext('threadkeeper_prepare'), 0)")
        yield


def _migrate() -> None:
    from config.versions import refuse_newer_database
    from sessions_admin import schedules

    refuse_newer_database()
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = %s", [LOCK_TIMEOUT])
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise CannotStart(
            "A migration waited too long for a table that another transaction uses; what it did was undone. "
            "End that transaction, such as an open psql or a backup, and start again."
        ) from error
    finally:
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    call_command("createcachetable", verbosity=0)
    schedules.ensure()
    schedules.ensure_samples()


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


def prepare_database() -> None:
    """Bring the database up to date, while servers may use it. Raise CannotStart.

    Create the first administrator only with ADMIN_PASSWORD: otherwise the first `up` does, and shows the password.
    """
    with _alone_at_the_database():
        _migrate()
        if os.environ.get("ADMIN_PASSWORD"):
            _first_admin()


def main() -> None:
    """Bring the database up to date before a rolling upgrade: `python -m config.runtime.bootstrap`."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        django.setup()
        prepare_database()
    except CannotStart as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
