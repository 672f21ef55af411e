"""Refuse a database that a newer version has migrated, before anything runs."""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

import psycopg
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from config.exceptions import CannotStart

MAX_NAMED = 3


def unknown_migrations(applied: Iterable[tuple[str, str]]) -> list[str]:
    """Return the migrations applied to a database that this version does not have."""
    known = set(_migrations())
    return [f"{app}.{name}" for app, name in sorted(applied) if (app, name) not in known]


def refuse_newer_database() -> None:
    """Raise CannotStart if a newer version has migrated the database; do nothing if it is unreachable."""
    if unknown := unknown_migrations(_applied()):
        more = f" and {len(unknown) - MAX_NAMED:,} more" if len(unknown) > MAX_NAMED else ""
        named = ", ".join(unknown[:MAX_NAMED]) + more
        raise CannotStart(
            f"A later version of Threadkeeper has migrated this database ({named}), and this is {settings.VERSION}: "
            "start that version or a later one. If these are of an app of your own, name it in EXTRA_APPS."
        )


def _migrations() -> Iterable[tuple[str, str]]:
    """Yield the names of the migrations: importing them all takes longer."""
    for config in apps.get_app_configs():
        module, _ = MigrationLoader.migrations_module(config.label)
        try:
            package = import_module(module) if module else None
        except ModuleNotFoundError:
            continue
        for found in iter_modules(package.__path__ if package else ()):
            yield config.label, found.name


def _applied() -> list[tuple[str, str]]:
    # A separate connection: processes that fork, and those with a pool, inherit nothing of it.
    try:
        with psycopg.connect(**connection.get_connection_params()) as database:
            if database.execute("SELECT to_regclass('django_migrations')").fetchone() == (None,):
                return []
            return [(app, name) for app, name in database.execute("SELECT app, name FROM django_migrations")]
    except psycopg.OperationalError:
        # The code that needs the database reports why it is unreachable.
        return []
