"""Whether this version knows the database: one that a later version has migrated is refused before anything runs."""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

import psycopg
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from config.exceptions import CannotStart

NAMED = 3


def unknown_migrations(applied: Iterable[tuple[str, str]]) -> list[str]:
    """Return those migrations that this version does not have, of those that were applied to a database."""
    known = set(_migrations())
    return [f"{app}.{name}" for app, name in sorted(applied) if (app, name) not in known]


def refuse_later_database() -> None:
    """Raise CannotStart where a later version has migrated the database; do nothing where it does not answer."""
    if unknown := unknown_migrations(_applied()):
        named = ", ".join(unknown[:NAMED]) + (f" and {len(unknown) - NAMED:,} more" if len(unknown) > NAMED else "")
        raise CannotStart(
            f"A later version of Threadkeeper has migrated this database ({named}), and this is {settings.VERSION}: "
            "start that version or a later one. If these are of an app of your own, name it in EXTRA_APPS."
        )


def _migrations() -> Iterable[tuple[str, str]]:
    """Yield the migrations, by names only: to import them all takes longer."""
    for config in apps.get_app_configs():
        module, _ = MigrationLoader.migrations_module(config.label)
        try:
            package = import_module(module) if module else None
        except ModuleNotFoundError:
            continue
        for found in iter_modules(package.__path__ if package else ()):
            yield config.label, found.name


def _applied() -> list[tuple[str, str]]:
    # A connection of its own: a process that forks, and one that has a pool, keep none of this.
    try:
        with psycopg.connect(**connection.get_connection_params()) as database:
            if database.execute("SELECT to_regclass('django_migrations')").fetchone() == (None,):
                return []
            return [(app, name) for app, name in database.execute("SELECT app, name FROM django_migrations")]
    except psycopg.OperationalError:
        # The code that needs the database reports why it cannot be reached.
        return []
