"""When `up` cannot start, it reports the reason in one sentence, with exit code 1 and no traceback."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from config.runtime.processes import spawn
from config.tests.support import PASSWORD, ROOT, LiveDatabase, clean_environment, database, run

pytestmark = pytest.mark.service


def startup_error(data_dir: Path, *options: str, **variables: str) -> str:
    """Run `up`, which must fail, and return the one line of its error."""
    result = run("manage.py", "up", *options, DATA_DIR=str(data_dir), **variables)
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.strip()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_port_in_use_is_reported(tmp_path: Path, taken_port: int) -> None:
    error = startup_error(tmp_path, "--port", str(taken_port))
    assert error == f"Port {taken_port} on 127.0.0.1 is in use: choose another with --port."
    assert not (tmp_path / "postgres").exists(), "PostgreSQL was not started"


def test_unreachable_database_is_reported(tmp_path: Path) -> None:
    error = startup_error(tmp_path, "--port", "0", DATABASE_URL="postgres://me:hidden@127.0.0.1:1/x")
    assert error.startswith("DATABASE_URL: the database cannot be reached: ")
    assert "Connection refused" in error
    assert "hidden" not in error


def test_server_process_reports_unreachable_database(tmp_path: Path) -> None:
    url = "postgres://me:hidden@127.0.0.1:1/x"
    result = run("-m", "config.runtime.asgi_server", "--port", "0", DATA_DIR=str(tmp_path), DATABASE_URL=url)
    assert result.returncode == 1
    error = result.stderr.splitlines()[-1]
    assert error.startswith("The database cannot be used: ") and "Connection refused" in error
    assert "Traceback" not in result.stderr and "hidden" not in result.stderr


def test_postgres_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "holiday.jpg").touch()
    assert startup_error(tmp_path, "--port", "0").endswith("contains files that are not a database.")


@pytest.mark.parametrize(
    "has_key", [pytest.param(True, id="used before", marks=pytest.mark.long), pytest.param(False, id="new")]
)
def test_read_only_data_folder_is_reported(tmp_path: Path, has_key: bool) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    if has_key:
        (folder / "secret_key").write_text("a key that was made before, by this program")
        (folder / "secret_key").chmod(0o644)
    folder.chmod(0o555)
    result = _as_ordinary_user(tmp_path, folder)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert str(folder) in result.stderr
    assert "Permission denied" in result.stderr


def _as_ordinary_user(tmp_path: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", "up", "--port", "0"]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("there is no setpriv to become an ordinary user with")
        for parent in [tmp_path, *tmp_path.parents[:2]]:
            parent.chmod(0o755)
        identity = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
        command = ["setpriv", *identity, *command]
    env = clean_environment(DATA_DIR=str(folder), PYTHONDONTWRITEBYTECODE="1")
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "No module named" in result.stderr or "can't open file" in result.stderr or result.returncode in (126, 127):
        pytest.skip("an ordinary user cannot read the checkout or its Python")
    return result


@pytest.mark.long
def test_invalid_admin_email_is_reported(tmp_path: Path) -> None:
    result = run("manage.py", "up", "--port", "0", DATA_DIR=str(tmp_path), ADMIN_EMAIL="boss")
    assert result.returncode == 1
    assert result.stderr == "ADMIN_EMAIL='boss' cannot be used: it must be an e-mail address.\n"


@pytest.mark.long
def test_missing_administrator_is_reported_and_can_be_created(live_database: LiveDatabase, tmp_path: Path) -> None:
    live_database.query("UPDATE chat_user SET is_superuser = false")
    variables = {"DATABASE_URL": live_database.url, "DATA_DIR": str(tmp_path), "ADMIN_PASSWORD": PASSWORD}

    started = run("-m", "config.runtime.bootstrap", **variables)
    assert started.returncode == 0, started.stderr
    assert "No account is an administrator. Start with ADMIN_EMAIL set to a new address" in started.stderr

    existing = run("-m", "config.runtime.bootstrap", **variables, ADMIN_EMAIL="admin@localhost")
    assert existing.returncode == 1
    assert "an account with this address exists" in existing.stderr
    bare = clean_environment(**variables, ADMIN_EMAIL="boss@example.com")
    del bare["DJANGO_SETTINGS_MODULE"]  # as a Kubernetes job runs it
    subprocess.run([sys.executable, "-m", "config.runtime.bootstrap"], cwd=ROOT, env=bare, check=True, timeout=60)
    [(count,)] = live_database.query("SELECT count(*) FROM chat_user WHERE is_superuser AND email = 'boss@example.com'")
    assert count == 1


def test_guessable_secret_key_is_refused(tmp_path: Path) -> None:
    error = startup_error(tmp_path, "--port", "0", SECRET_KEY="secret")
    assert error.startswith("SECRET_KEY can be guessed. Use 50 random characters")


OTHER_COMMANDS = {
    "the server": ("-m", "config.runtime.asgi_server", "--port", "0"),
    "the worker": ("manage.py", "qcluster"),
    "a clean-up": ("manage.py", "cleanup_sessions"),
    "a migration": ("manage.py", "migrate"),
    "a backup": ("manage.py", "backup", "never.zip"),
    "a restore": ("manage.py", "restore", "never.zip", "--force"),
    "a command of Django's": ("manage.py", "clearsessions"),
}


@pytest.mark.long
def test_database_of_later_version_is_refused(live_database: LiveDatabase, tmp_path: Path) -> None:
    add = "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())"
    live_database.query(add, "chat", "0999_of_a_later_version")
    live_database.query(add, "account", "0001_of_an_app_that_is_new_then")
    variables = {"DATABASE_URL": live_database.url}

    error = startup_error(tmp_path, "--port", "0", **variables)

    assert error == (
        "A later version of Threadkeeper has migrated this database (account.0001_of_an_app_that_is_new_then, "
        f"chat.0999_of_a_later_version), and this is {settings.VERSION}: start that version or a later one. "
        "If these are of an app of your own, name it in EXTRA_APPS."
    )
    for words in OTHER_COMMANDS.values():
        result = run(*words, DATA_DIR=str(tmp_path), **variables)
        assert (result.returncode, result.stdout, result.stderr.strip()) == (1, "", error), words
    for words in (("check",), ("makemigrations", "--check", "--dry-run"), ("cleanup_sessions", "--help")):
        result = run("manage.py", *words, DATA_DIR=str(tmp_path), **variables)
        assert result.returncode == 0, result.stderr
    for table in ("sessions_admin_auditrecord", "sessions_admin_cleanuprun", "sessions_admin_workerheartbeat"):
        assert live_database.query(f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608


@pytest.mark.long
def test_migration_waiting_for_a_locked_table_is_reported(live_database: LiveDatabase, tmp_path: Path) -> None:
    variables = {"DATABASE_URL": live_database.url, "DATA_DIR": str(tmp_path)}
    live_database.query("DELETE FROM django_migrations WHERE app = 'chat' AND name > '0031'")
    with psycopg.connect(live_database.url) as other:
        other.execute("LOCK TABLE agent_messages")
        result = run("-m", "config.runtime.bootstrap", **variables)
    assert result.returncode == 1
    assert result.stderr.startswith("A migration waited too long for a table that another transaction uses")


@pytest.mark.long
def test_concurrent_first_starts_wait_for_each_other(tmp_path: Path) -> None:
    with database(os.environ["DATABASE_URL"]) as (_, url):
        variables = clean_environment(DATABASE_URL=url, DATA_DIR=str(tmp_path), ADMIN_PASSWORD=PASSWORD)
        starts = [
            spawn(
                [sys.executable, "-m", "config.runtime.bootstrap"], env=variables, cwd=ROOT, output=subprocess.DEVNULL
            )
            for _ in range(2)
        ]
        assert [start.wait(120) for start in starts] == [0, 0]
