"""The cast of every test: an owner, an outsider who must see nothing of theirs, and staff."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.test import AsyncClient, Client, TransactionTestCase
from pytest_django import DjangoDbBlocker

from chat.infra import throttle
from chat.models import User
from config.tests.support import PASSWORD, LiveDatabase, ServerProcess, database, prepare, run, template

# Half a second for each sign-in is for people who guess passwords.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that share a fixture of their module in one process: each process would make it once more."""
    for item in items:
        if isinstance(item, pytest.Function) and not item.get_closest_marker("xdist_group"):
            found = item._fixtureinfo.name2fixturedefs.values()
            if any(one.scope == "module" and one.baseid for one in (defs[-1] for defs in found if defs)):
                item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def _tables_template(tmp_path_factory: pytest.TempPathFactory) -> str:
    def migrate(url: str) -> None:
        done = run("manage.py", "migrate", DATABASE_URL=url, DATA_DIR=str(tmp_path_factory.mktemp("migrate")))
        assert done.returncode == 0, done.stderr

    return template("migrated", migrate)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None, _tables_template: str) -> None:
    """Copy the test database of a process from one that has the tables; pool its connections, as a server does.

    Each call in a database thread would otherwise open a connection, which takes longer than most queries.
    """
    connection.settings_dict["TEST"]["TEMPLATE"] = _tables_template
    connection.settings_dict["OPTIONS"]["pool"] = {"min_size": 2, "max_size": 40}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Empty tables quickly after a test, and end the connections that are left before the database is dropped.

    TRUNCATE of all tables and the signal after it take 0.13 s; most tables are empty and need only a look. The rows
    that migrations make (content types and permissions) stay. asgiref keeps a connection for async clients.
    """
    with django_db_blocker.unblock():
        kept = {MigrationRecorder.Migration._meta.db_table, ContentType._meta.db_table, Permission._meta.db_table}
        tables = [name for name in connection.introspection.table_names() if name not in kept]
        # A trigger keeps the rows of the audit log.
        statements = ["SET LOCAL session_replication_role = replica"]
        statements += [f"DELETE FROM {connection.ops.quote_name(name)}" for name in tables]  # noqa: S608

    def fixture_teardown(test_case: TransactionTestCase) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(";".join(statements))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", fixture_teardown)
        yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.fixture(autouse=True)
def _nobody_has_asked_yet() -> None:
    """What programs of earlier tests asked for is not counted."""
    throttle.by_person.reset()
    throttle.by_address.reset()


@pytest.fixture
def owner(db: None) -> User:
    """The person whom a test is about."""
    return User.objects.create_user("owner@example.com", PASSWORD)


@pytest.fixture
def outsider(db: None) -> User:
    """Another person, to whom nothing of the owner's may be shown."""
    return User.objects.create_user("outsider@example.com", PASSWORD)


@pytest.fixture
def staff(db: None) -> User:
    """A person who may do everything in the admin."""
    return User.objects.create_superuser("staff@example.com", PASSWORD)


def _signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def owner_client(owner: User) -> Client:
    """A browser in which the owner is signed in."""
    return _signed_in(owner)


@pytest.fixture
def outsider_client(outsider: User) -> Client:
    """A browser in which the outsider is signed in."""
    return _signed_in(outsider)


@pytest.fixture
def staff_client(staff: User) -> Client:
    """A browser in which staff is signed in."""
    return _signed_in(staff)


@pytest.fixture
def async_owner_client(owner: User) -> AsyncClient:
    """The owner's browser, for an async test."""
    client = AsyncClient()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    return client


# Real processes.


@pytest.fixture(scope="session")
def _migrated_template(_tables_template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return template("prepared", lambda url: prepare(url, tmp_path_factory.mktemp("template")), of=_tables_template)


@pytest.fixture
def live_database(_migrated_template: str) -> Iterator[LiveDatabase]:
    """A database for real processes, with all tables and nobody in it but the admin."""
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        yield LiveDatabase(url)


@pytest.fixture
def server(live_database: LiveDatabase, tmp_path: Path) -> Iterator[ServerProcess]:
    """A real server process, which a test may kill and start again."""
    process = ServerProcess(live_database, tmp_path)
    yield process
    process.kill9()
