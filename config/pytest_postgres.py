"""A pytest plugin: tests have a PostgreSQL and a data folder of their own, gone at the end.

Settings are read when pytest-django starts, so this is named in `addopts` and comes before it.
"""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from config.runtime.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError, start
from config.runtime.gc_freeze import freeze

# What a developer's own shell may hold, and no test may see: a key that costs money, for one.
FOREIGN = (
    "AGENT_",
    "CONVERSATION_",
    "OPENAI_",
    "ADMIN_",
    "EMAIL_URL",
    "PUBLIC_URL",
    "TRUSTED_PROXIES",
    "SECRET_KEY",
    "DEBUG",
    "SIGNUP",
    "DATABASE_POOL_SIZE",
)

PREFIX = "threadkeeper-tests-"
# The name of a test run, which its processes share; databases that they copy end with it.
RUN_ID = "THREADKEEPER_TEST_RUN"
# Attacks wait more than they compute: each of their groups has a process of its own.
GROUPS_OF_ATTACKS = 4

_folder: Path | None = None
_begins_the_run = RUN_ID not in os.environ
_server: EmbeddedPostgres | None = None


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Point the settings away from the developer's data before anything reads them."""
    global _folder, _server
    options = early_config.known_args_namespace
    if not (options.help or options.version):
        _remove_left_behind()
        _folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        _hold(_folder)
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            del os.environ[name]
        os.environ.setdefault(RUN_ID, uuid.uuid4().hex[:12])
        os.environ["ENV_FILE"] = os.devnull
        os.environ["DATA_DIR"] = str(_folder)
        # No test trusts an authority, and each client of a test would read all of the machine's in 50 ms.
        os.environ.pop("SSL_CERT_FILE", None)
        os.environ["SSL_CERT_DIR"] = str(_folder)
        if not os.environ.get("DATABASE_URL"):
            try:
                _server = start(_folder / "postgres", durable=False)
            except EmbeddedPostgresError as error:
                raise pytest.UsageError(str(error)) from error
            os.environ["DATABASE_URL"] = _server.url
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary folders with the rest: pytest closes its common one to other users whenever it starts.

    The server may run as such a user.
    """
    if _folder and not config.option.basetemp:
        config.option.basetemp = str(_folder / "tmp")


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run everything in one process more than there are cores, since many tests wait; run what is named in this one."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    return GROUPS_OF_ATTACKS if config.option.markexpr == "attack" else (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare the garbage collector what is loaded by now, as a server does: a pass takes longer than some rules may."""
    freeze()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End the server and remove the folder."""
    if _server:
        _server.stop()
    elif _begins_the_run and (run := os.environ.get(RUN_ID)):
        _drop_templates(run)
    if _folder:
        shutil.rmtree(_folder, ignore_errors=True)


def _drop_templates(run: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as admin:
        for (name,) in admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", [f"%\\_{run}"]
        ).fetchall():
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _hold(folder: Path) -> bool:
    """Claim a folder for as long as this process lives; return whether it was free."""
    descriptor = os.open(folder / "held", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def _remove_left_behind() -> None:
    """Remove the folders of runs that were killed."""
    for held in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/held"):
        with suppress(OSError):
            if _hold(held.parent):
                shutil.rmtree(held.parent)
