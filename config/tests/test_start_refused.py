"""What keeps `up` from starting is said in one sentence, with exit code 1 and no traceback."""

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


def refusal(data_dir: Path, *options: str, **variables: str) -> str:
    """Return the one line that `up` ends with."""
    ended = run("manage.py", "up", *options, DATA_DIR=str(data_dir), **variables)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.strip()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_in_use(tmp_path: Path, taken_port: int) -> None:
    said = refusal(tmp_path, "--port", str(taken_port))
    assert said == f"Port {taken_port} on 127.0.0.1 is in use: choose another with --port."
    assert not (tmp_path / "postgres").exists(), "nothing was started for it"


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    said = refusal(tmp_path, "--port", "0", DATABASE_URL="postgres://me:hidden@127.0.0.1:1/x")
    assert said.startswith("DATABASE_URL: the database cannot be reached: ")
    assert "Connection refused" in said
    assert "hidden" not in said


def test_a_database_that_does_not_answer_the_server_alone(tmp_path: Path) -> None:
    url = "postgres://me:hidden@127.0.0.1:1/x"
    ended = run("-m", "config.runtime.asgi_server", "--port", "0", DATA_DIR=str(tmp_path), DATABASE_URL=url)
    assert ended.returncode == 1
    said = ended.stderr.splitlines()[-1]
    assert said.startswith("The database cannot be used: ") and "Connection refused" in said
    assert "Traceback" not in ended.stderr and "hidden" not in ended.stderr


def test_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "holiday.jpg").touch()
    assert refusal(tmp_path, "--port", "0").endswith("contains files that are not a database.")


@pytest.mark.parametrize("has_key", [True, False], ids=["used before", "new"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, has_key: bool) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    if has_key:
        (folder / "secret_key").write_text("a key that was made before, by this program")
        (folder / "secret_key").chmod(0o644)
    folder.chmod(0o555)
    ended = _as_ordinary_user(tmp_path, folder)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert str(folder) in ended.stderr
    assert "Permission denied" in ended.stderr


def _as_ordinary_user(tmp_path: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", "up", "--port", "0"]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("there is no setpriv to become an ordinary user with")
        for parent in [tmp_path, *tmp_path.parents[:2]]:
            parent.chmod(0o755)
        nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
        command = ["setpriv", *nobody, *command]
    env = clean_environment(DATA_DIR=str(folder), PYTHONDONTWRITEBYTECODE="1")
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "No module named" in ended.stderr or "can't open file" in ended.stderr or ended.returncode in (126, 127):
        pytest.skip("an ordinary user cannot read the checkout or its Python")
    return ended


def test_an_admin_address_that_is_none(tmp_path: Path) -> None:
    ended = run("manage.py", "up", "--port", "0", DATA_DIR=str(tmp_path), ADMIN_EMAIL="boss")
    assert ended.returncode == 1
    assert ended.stderr == "ADMIN_EMAIL='boss' cannot be used: it must be an e-mail address.\n"


def test_an_administrator_who_is_none_any_more(live_database: LiveDatabase, tmp_path: Path) -> None:
    live_database.query("UPDATE chat_user SET is_superuser = false")
    given = {"DATABASE_URL": live_database.url, "DATA_DIR": str(tmp_path), "ADMIN_PASSWORD": PASSWORD}

    started = run("-m", "config.runtime.bootstrap", **given)
    assert started.returncode == 0, started.stderr
    assert "No account is an administrator. Start with ADMIN_EMAIL set to a new address" in started.stderr

    refused = run("-m", "config.runtime.bootstrap", **given, ADMIN_EMAIL="admin@localhost")
    assert refused.returncode == 1
    assert "an account with this address exists" in refused.stderr
    bare = clean_environment(**given, ADMIN_EMAIL="boss@example.com")
    del bare["DJANGO_SETTINGS_MODULE"]  # as a Kubernetes job runs it
    subprocess.run([sys.executable, "-m", "config.runtime.bootstrap"], cwd=ROOT, env=bare, check=True, timeout=60)
    [(count,)] = live_database.query("SELECT count(*) FROM chat_user WHERE is_superuser AND email = 'boss@example.com'")
    assert count == 1


def test_a_key_that_can_be_guessed(tmp_path: Path) -> None:
    said = refusal(tmp_path, "--port", "0", SECRET_KEY="secret")
    assert said.startswith("SECRET_KEY can be guessed. Use 50 random characters")


BESIDE_UP = {
    "the server": ("-m", "config.runtime.asgi_server", "--port", "0"),
    "the worker": ("manage.py", "qcluster"),
    "a clean-up": ("manage.py", "cleanup_sessions"),
    "a migration": ("manage.py", "migrate"),
    "a backup": ("manage.py", "backup", "never.zip"),
    "a restore": ("manage.py", "restore", "never.zip", "--force"),
    "a command of Django's": ("manage.py", "clearsessions"),
}


def test_a_database_of_a_later_version(live_database: LiveDatabase, tmp_path: Path) -> None:
    add = "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())"
    live_database.query(add, "chat", "0999_of_a_later_version")
    live_database.query(add, "account", "0001_of_an_app_that_is_new_then")
    given = {"DATABASE_URL": live_database.url}

    said = refusal(tmp_path, "--port", "0", **given)

    assert said == (
        "A later version of Threadkeeper has migrated this database (account.0001_of_an_app_that_is_new_then, "
        f"chat.0999_of_a_later_version), and this is {settings.VERSION}: start that version or a later one. "
        "If these are of an app of your own, name it in EXTRA_APPS."
    )
    for words in BESIDE_UP.values():
        ended = run(*words, DATA_DIR=str(tmp_path), **given)
        assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (1, "", said), words
    for words in (("check",), ("makemigrations", "--check", "--dry-run"), ("cleanup_sessions", "--help")):
        ended = run("manage.py", *words, DATA_DIR=str(tmp_path), **given)
        assert ended.returncode == 0, ended.stderr
    for table in ("sessions_admin_auditrecord", "sessions_admin_cleanuprun", "sessions_admin_workerheartbeat"):
        assert live_database.query(f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608


def test_a_migration_that_waits_for_a_table(live_database: LiveDatabase, tmp_path: Path) -> None:
    given = {"DATABASE_URL": live_database.url, "DATA_DIR": str(tmp_path)}
    live_database.query("DELETE FROM django_migrations WHERE app = 'chat' AND name > '0031'")
    with psycopg.connect(live_database.url) as other:
        other.execute("LOCK TABLE agent_messages")
        ended = run("-m", "config.runtime.bootstrap", **given)
    assert ended.returncode == 1
    assert ended.stderr.startswith("A migration waited too long for a table that another transaction uses")


def test_two_first_starts_wait_for_each_other(tmp_path: Path) -> None:
    with database(os.environ["DATABASE_URL"]) as (_, url):
        given = clean_environment(DATABASE_URL=url, DATA_DIR=str(tmp_path), ADMIN_PASSWORD=PASSWORD)
        starts = [
            spawn([sys.executable, "-m", "config.runtime.bootstrap"], env=given, cwd=ROOT, output=subprocess.DEVNULL)
            for _ in range(2)
        ]
        assert [start.wait(120) for start in starts] == [0, 0]
