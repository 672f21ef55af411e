"""Fixtures of all tests: an owner, an outsider without access to the owner's data, staff, and real processes."""

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
from config.tests.support import PASSWORD, LiveDatabase, ServerProcess, create_tables, database, run, template

# The default hasher takes half a second per sign-in to slow down password guessing.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Otherwise each test client would read all static files, which takes longer than most requests.
settings.WHITENOISE_AUTOREFRESH = True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that share a module fixture in one process; otherwise each process would create it again.

    This hook comes first, since pytest-xdist reads the groups in its own.
    """
    for item in items:
        if isinstance(item, pytest.Function) and not item.get_closest_marker("xdist_group"):
            fixture_defs = item._fixtureinfo.name2fixturedefs.values()
            if any(
                fixture_def.scope == "module" and fixture_def.baseid
                for fixture_def in (defs[-1] for defs in fixture_defs if defs)
            ):
                item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def _tables_template(tmp_path_factory: pytest.TempPathFactory) -> str:
    def migrate(url: str) -> None:
        completed = run("manage.py", "migrate", DATABASE_URL=url, DATA_DIR=str(tmp_path_factory.mktemp("migrate")))
        assert completed.returncode == 0, completed.stderr

    return template("migrated", migrate)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None, _tables_template: str) -> None:
    """Create the test database of each process from a migrated template; pool its connections, as a server does.

    Otherwise each call in a database thread would open a connection, which takes longer than most queries.
    """
    connection.settings_dict["TEST"]["TEMPLATE"] = _tables_template
    connection.settings_dict["OPTIONS"]["pool"] = {"min_size": 2, "max_size": 40}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Empty tables quickly after a test, and close remaining connections before the database is dropped.

    TRUNCATE of all tables and the post_migrate signal take 0.13 s, and most tables are already empty. The rows that
    migrations create (content types and permissions) stay. asgiref keeps a connection for async clients.
    """
    with django_db_blocker.unblock():
        kept_tables = {
            MigrationRecorder.Migration._meta.db_table,
            ContentType._meta.db_table,
            Permission._meta.db_table,
        }
        tables = [name for name in connection.introspection.table_names() if name not in kept_tables]
        # A trigger forbids to delete rows of the audit log.
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
def _reset_throttles() -> None:
    """Reset the rate limits, so that requests of earlier tests do not count."""
    throttle.by_person.reset()
    throttle.by_address.reset()


@pytest.fixture
def owner(db: None) -> User:
    """The user who owns the data of a test."""
    return User.objects.create_user("owner@example.com", PASSWORD)


@pytest.fixture
def outsider(db: None) -> User:
    """Another user, who has no access to the owner's data."""
    return User.objects.create_user("outsider@example.com", PASSWORD)


@pytest.fixture
def staff(db: None) -> User:
    """A superuser."""
    return User.objects.create_superuser("staff@example.com", PASSWORD)


def _signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def owner_client(owner: User) -> Client:
    """A client in which the owner is signed in."""
    return _signed_in(owner)


@pytest.fixture
def outsider_client(outsider: User) -> Client:
    """A client in which the outsider is signed in."""
    return _signed_in(outsider)


@pytest.fixture
def staff_client(staff: User) -> Client:
    """A client in which staff is signed in."""
    return _signed_in(staff)


@pytest.fixture
def async_owner_client(owner: User) -> AsyncClient:
    """The owner's client, for async tests."""
    client = AsyncClient()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    return client


# Real processes.


@pytest.fixture(scope="session")
def _migrated_template(_tables_template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return template(
        "prepared", lambda url: create_tables(url, tmp_path_factory.mktemp("template")), source=_tables_template
    )


@pytest.fixture
def live_database(_migrated_template: str) -> Iterator[LiveDatabase]:
    """A migrated database for real processes, with the admin as the only user."""
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        yield LiveDatabase(url)


@pytest.fixture
def server(live_database: LiveDatabase, tmp_path: Path) -> Iterator[ServerProcess]:
    """A real server process, which a test may kill and restart."""
    process = ServerProcess(live_database, tmp_path)
    yield process
    process.kill9()
