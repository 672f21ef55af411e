"""A pytest plugin that gives tests their own PostgreSQL and data folder, and removes both at the end.

Settings are read when pytest-django starts, so `addopts` names this plugin, which loads it first.
"""

import fcntl
import os
import shutil
import sys
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

# Variables of the developer's shell that tests must not use, such as the key of a paid API.
DEVELOPER_VARIABLES = (
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
# The id of a test run, which its processes share; the names of template databases end with it.
RUN_ID = "THREADKEEPER_TEST_RUN"
# Attacks mostly wait, so each of their groups has a process of its own.
ATTACK_GROUPS = 4


def _share_bytecode(folder: Path) -> None:
    """Compile modules once for all processes when they must not write bytecode beside the sources.

    Without it, each process of a run would compile all modules that it imports.
    """
    if sys.dont_write_bytecode:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(folder)
        sys.dont_write_bytecode = False


# Before other plugins are imported, since their modules take seconds to compile.
_share_bytecode(Path(__file__).parent.parent.parent / ".pytest_cache" / "bytecode")

_folder: Path | None = None
_is_first_process = RUN_ID not in os.environ
_server: EmbeddedPostgres | None = None


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Set the database and the data folder before anything reads the settings."""
    global _folder, _server
    options = early_config.known_args_namespace
    if not (options.help or options.version):
        _remove_leftovers()
        _folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        _lock_folder(_folder)
        for name in [name for name in os.environ if name.startswith(DEVELOPER_VARIABLES)]:
            del os.environ[name]
        os.environ.setdefault(RUN_ID, uuid.uuid4().hex[:12])
        os.environ["ENV_FILE"] = os.devnull
        os.environ["DATA_DIR"] = str(_folder)
        # No test needs certificate authorities, and loading those of the machine takes 50 ms per client.
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
    """Move pytest's temporary folders into the data folder of the run.

    Other users cannot read pytest's own folder, and PostgreSQL may run as another user.
    """
    if _folder and not config.option.basetemp:
        config.option.basetemp = str(_folder / "tmp")


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use one process more than there are cores, since many tests wait; run explicitly named tests in this process."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    return ATTACK_GROUPS if config.option.markexpr == "attack" else (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Freeze the loaded objects, as a server does: a garbage collection takes longer than some timeouts."""
    freeze()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Stop the server and remove the folder."""
    if _server:
        _server.stop()
    elif _is_first_process and (run := os.environ.get(RUN_ID)):
        _drop_templates(run)
    if _folder:
        shutil.rmtree(_folder, ignore_errors=True)


def _drop_templates(run: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as admin:
        for (name,) in admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", [f"%\\_{run}"]
        ).fetchall():
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _lock_folder(folder: Path) -> bool:
    """Lock a folder until this process ends; return whether it was unlocked."""
    descriptor = os.open(folder / "held", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def _remove_leftovers() -> None:
    """Remove the folders of runs that were killed."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/held"):
        with suppress(OSError):
            if _lock_folder(lock.parent):
                shutil.rmtree(lock.parent)
