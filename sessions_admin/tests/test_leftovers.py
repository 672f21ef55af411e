"""Files that a killed process leaves behind are found and removed; files in use are kept."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pytest_django import Settings

from chat.models import AgentSession, User
from config.tests.support import LiveDatabase, clean_environment, eventually, run
from sessions_admin.people.erase import erase_person
from sessions_admin.stores.backup import backup
from sessions_admin.stores.checking import check
from sessions_admin.stores.files import new_file
from sessions_admin.stores.leftovers import find_leftovers, remove_leftovers
from sessions_admin.stores.temporary import all_notes, temporary_folder
from sessions_admin.tests.conftest import MakeSession, append_items, count_rows

ROOT = Path(__file__).parents[2]
KILLED_BACKUP = """
import os, signal, sys, django
from pathlib import Path
django.setup()
from sessions_admin.stores.files import new_file
from sessions_admin.stores.temporary import temporary_folder
path = Path(sys.argv[1])
with new_file(path / "copy.zip", force=False) as file, temporary_folder("backup", path) as folder:
    file.write(b"PK, and so on")
    file.flush()
    (folder / "agent_sessions.db").write_text("secret")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def data_dir(session_file: Path, settings: Settings) -> Path:
    """The data folder of this test only."""
    settings.DATA_DIR = session_file.parent
    return session_file.parent


def leftover_names(*, is_alone: bool = False) -> list[tuple[str, str]]:
    return [(each.kind, Path(each.path).name) for each in find_leftovers(is_alone=is_alone)]


def test_files_of_a_killed_backup_are_found_in_any_folder(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("backups")
    process = [sys.executable, "-c", KILLED_BACKUP, str(elsewhere)]
    environment = clean_environment(DATA_DIR=str(data_dir), DJANGO_SETTINGS_MODULE="config.settings")
    assert subprocess.run(process, cwd=ROOT, env=environment, check=False).returncode == -signal.SIGKILL
    names = {path.name for path in elsewhere.iterdir()}
    assert len(names) == 2

    assert {(each.kind, Path(each.path).name) for each in check().leftovers} == {
        (kind, name) for name in names for kind in ["draft" if name.startswith(".copy.zip.") else "backup"]
    }
    assert len(remove_leftovers()) == 2
    assert list(elsewhere.iterdir()) == []
    assert all_notes() == []


def test_files_in_use_are_not_removed(tmp_path: Path) -> None:
    with new_file(tmp_path / "copy.zip", force=False) as file, temporary_folder("backup", tmp_path) as folder:
        file.write(b"whole")
        assert remove_leftovers(is_alone=True) == []
        assert folder.exists()

    assert (tmp_path / "copy.zip").read_bytes() == b"whole"
    assert not folder.exists()
    assert all_notes() == []


@pytest.mark.django_db
def test_leftovers_of_earlier_releases_are_recognised_by_name_content_and_age(data_dir: Path) -> None:
    (data_dir / ".restore-a1b2c3d4").mkdir()
    (data_dir / ".restore-a1b2c3d4" / "agent_sessions.db").write_text("secret")
    (data_dir / ".backup-a1b2c3d4").mkdir()
    (data_dir / ".backup-theirs00").mkdir()
    (data_dir / ".backup-theirs00" / "letters.txt").write_text("another program's")
    for name, content in ((".copy.zip.0a1b2c3d", b"PK.."), (".theirs.0a1b2c3d", b"text"), ("tmpa1b2c3d4", b"key")):
        (data_dir / name).write_bytes(content)

    assert leftover_names() == []
    assert leftover_names(is_alone=True) == [("restore", ".restore-a1b2c3d4")]
    for path in data_dir.rglob("*"):
        os.utime(path, (time.time() - 7200,) * 2)
    expected = {".restore-a1b2c3d4", ".backup-a1b2c3d4", ".copy.zip.0a1b2c3d", "tmpa1b2c3d4"}
    assert {name for _, name in leftover_names()} == expected
    remove_leftovers()
    assert {path.name for path in data_dir.iterdir() if path.name.startswith(".")} == {
        ".backup-theirs00",
        ".theirs.0a1b2c3d",
    }


@pytest.mark.django_db
def test_erasure_removes_leftovers_and_reports_files_in_use(owner: User, data_dir: Path, tmp_path: Path) -> None:
    (data_dir / ".restore-a1b2c3d4").mkdir()
    (left_behind := data_dir / ".restore-a1b2c3d4" / "agent_sessions.db").write_text(str(owner.pk))
    os.utime(left_behind, (time.time() - 7200,) * 2)
    os.utime(left_behind.parent, (time.time() - 7200,) * 2)
    with temporary_folder("backup", tmp_path) as folder:
        (folder / "agent_sessions.db").write_text(f"{owner.pk} {owner.email}")

        report = erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert not left_behind.exists()
    found = {each.place: (each.addresses, each.ids) for each in report.remains}
    assert found[f"{folder / 'agent_sessions.db'}, bytes"] == (1, 1)


# A restore that is killed.


class KilledRestore:
    """A real restore into a data folder that has a session file, killed at a chosen moment."""

    def __init__(self, database: LiveDatabase, backup_file: Path, folder: Path) -> None:
        self.database, self.folder, self.path = database, folder, folder / "agent_sessions.db"
        self.environment = {"DATABASE_URL": database.url, "DATA_DIR": str(folder)}
        self.command = [sys.executable, "manage.py", "restore", str(backup_file), "--force"]

    def start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.command, cwd=ROOT, env=clean_environment(**self.environment))

    def is_waiting_in(self, statement: str) -> bool:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        return bool(self.database.query(f"{waiting} AND datname = current_database()", statement)[0][0])

    def prepare_startup(self) -> None:
        """Do what `up` does before it starts a process."""
        result = run(
            "-c",
            "import django; django.setup(); from config.runtime.bootstrap import prepare; prepare()",
            **self.environment,
        )
        assert result.returncode == 0, result.stderr

    def leftovers(self) -> list[Path]:
        return list(self.folder.glob(".restore-*"))


@pytest.fixture
def killed_restore(
    transactional_db: None,
    owner: User,
    make_session: MakeSession,
    live_database: LiveDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[KilledRestore, AgentSession]]:
    session, folder = make_session(owner), tmp_path_factory.mktemp("restored")
    backup(folder / "copy.zip", actor="os:root")
    append_items(folder / "agent_sessions.db", "as it was", 3)
    yield KilledRestore(live_database, folder / "copy.zip", folder), session


@pytest.mark.long
@pytest.mark.service
def test_restore_killed_while_waiting_keeps_its_copy_until_the_next_start(
    killed_restore: tuple[KilledRestore, AgentSession],
) -> None:
    restore, session = killed_restore
    with psycopg.connect(restore.database.url) as gate:
        gate.execute("LOCK TABLE chat_user IN ACCESS SHARE MODE")
        with restore.start() as process:
            eventually(lambda: restore.is_waiting_in("TRUNCATE%%"), what="the restore to wait for the lock")
            process.kill()
    (folder,) = restore.leftovers()
    assert session.session_id.encode() in (folder / "agent_sessions.db").read_bytes()

    checked = json.loads(run("manage.py", "check_sessions", "--json", **restore.environment).stdout)
    assert [each["path"] for each in checked["leftovers"]] == [str(folder)]
    restore.prepare_startup()

    assert restore.leftovers() == []
    assert count_rows(restore.path, "as it was")[0] == 3


@pytest.mark.service
@pytest.mark.long
@pytest.mark.parametrize("is_committed", [True, False])
def test_restore_killed_during_commit_is_completed_or_undone_at_startup(
    is_committed: bool, killed_restore: tuple[KilledRestore, AgentSession]
) -> None:
    restore, session = killed_restore
    restore.database.query(
        "CREATE FUNCTION await() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(4, 2); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER await AFTER INSERT ON sessions_admin_auditrecord DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.action = 'restore') EXECUTE FUNCTION await()"
    )
    with psycopg.connect(restore.database.url, autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(4, 2)")
        with restore.start() as process:
            eventually(lambda: restore.is_waiting_in("COMMIT%%"), what="the commit to wait for the lock")
            process.kill()
        (folder,) = restore.leftovers()
        assert count_rows(folder / "old-agent_sessions.db", "as it was")[0] == 3
        if not is_committed:
            committing = "datname = current_database() AND query LIKE 'COMMIT%'"
            gate.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {committing}")  # noqa: S608
    eventually(lambda: not restore.is_waiting_in("COMMIT%%"), what="the end of the transaction")

    restore.prepare_startup()

    people = {email for (email,) in restore.database.query("SELECT email FROM chat_user")}
    assert ("owner@example.com" in people) is is_committed
    assert (count_rows(restore.path, session.session_id)[0], count_rows(restore.path, "as it was")[0]) == (
        (4, 0) if is_committed else (0, 3)
    )
    assert restore.leftovers() == []
