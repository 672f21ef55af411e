"""A backup made while people chat is restored completely, or nothing is changed."""

import asyncio
import hashlib
import json
import os
import stat
import uuid
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import psycopg
import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from chat.exceptions import BadInput, Conflict
from chat.infra.db_threads import in_database
from chat.memory import sync_file
from chat.memory.configured import DATABASE, FILE, opened
from chat.memory.rebuild import rebuild
from chat.models import AgentSession, Conversation, Task, TaskCounter, ToolCall, User
from chat.models.turn import Status
from chat.tests import stored_turns
from chat.tests.conftest import Chat, StartRunner
from chat.tests.disks import fill, small_disk
from chat.tests.stores import EACH
from config.runtime.single_instance import SingleInstance
from config.tests.support import LiveDatabase, database, run
from sessions_admin.audit import shell_actor
from sessions_admin.models import AuditRecord, CleanupRun, StoreSample
from sessions_admin.people.erase import erase_person
from sessions_admin.stores import archive
from sessions_admin.stores.backup import backup, tables
from sessions_admin.stores.checking import check
from sessions_admin.stores.reconcile import reconcile
from sessions_admin.stores.restore import restore
from sessions_admin.tests.conftest import BOTH_STORES, MakeSession, append_items, command_output

pytestmark = pytest.mark.django_db(transaction=True)

AUDIT = "sessions_admin_auditrecord"
Manifest = dict[str, Any]


@pytest.fixture
def party(transactional_db: None, owner: User, make_session: MakeSession) -> AgentSession:
    """A conversation with a session, and a task."""
    session = make_session(owner, title="Party – café\twith\nlines \\ and ends")
    stored_turns.add_turn(session.conversation, "Buy a cake", "Bought.", calls=2)
    Task.objects.create(user=owner, number=TaskCounter.take(owner.pk), title="Buy a cake")
    return session


@pytest.fixture
def copy(party: AgentSession, tmp_path: Path) -> Path:
    """A backup that contains `party`."""
    path = tmp_path / "copy.zip"
    backup(path, actor="os:root")
    return path


def rows_by_table() -> dict[str, list[str]]:
    """Return every row of every table in a backup, except the audit."""
    with connection.cursor() as cursor:
        return {name: _rows(cursor, name) for name in tables() if name != AUDIT}


def _rows(cursor: Any, table: str) -> list[str]:
    cursor.execute(f'SELECT t::text FROM "{table}" t ORDER BY 1')  # noqa: S608
    return [row[0] for row in cursor.fetchall()]


def stored_items(session_id: str) -> list[object]:
    with opened() as store:
        return list(store.items(session_id))


def rewrite_backup(path: Path, change: Callable[[Manifest, dict[str, bytes]], None]) -> Path:
    """Change the content of a backup and update its checksums."""
    with ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(members.pop(archive.MANIFEST))
    change(manifest, members)
    manifest["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    sizes = {name: len(data) for name, data in members.items()}
    manifest |= {"sizes": sizes} if manifest["format"] > 1 else {}
    with ZipFile(changed := path.with_name("changed.zip"), "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
        new.writestr(archive.MANIFEST, json.dumps(manifest))
    return changed


def change_everything() -> None:
    """Change everything after a backup was made."""
    Conversation.objects.update(title="Spoiled")
    User.objects.create_user("later@example.com")
    Task.objects.all().delete()
    with opened() as store:
        store.remove(list(AgentSession.objects.values_list("session_id", flat=True)))


@pytest.mark.parametrize(
    ("store_kind", "later"),
    [
        (FILE, FILE),
        (DATABASE, DATABASE),
        pytest.param(FILE, DATABASE, marks=pytest.mark.long),
        pytest.param(DATABASE, FILE, marks=pytest.mark.long),
    ],
    indirect=["store_kind"],
)
def test_restore_brings_back_exactly_the_backup(
    party: AgentSession, copy: Path, session_file: Path, owner: User, later: str, settings: Settings
) -> None:
    before, items = rows_by_table(), stored_items(party.session_id)
    assert len(items) == 4
    settings.AGENT_SESSION_STORE = later
    change_everything()

    done = restore(copy, actor="os:root", force=True)

    assert rows_by_table() == before
    assert stored_items(party.session_id) == items
    assert (done.sessions, done.items) == (1, 4)
    assert later == DATABASE or stat.S_IMODE(session_file.stat().st_mode) == 0o600
    assert check().is_sound
    assert AgentSession.objects.get().item_count == 4
    assert [row.action for row in AuditRecord.objects.all()] == ["restore"]  # a backup does not contain its own record
    assert Task.objects.create(user=owner, number=TaskCounter.take(owner.pk), title="Next").number == 2
    newest = ToolCall.objects.latest("pk").pk
    again = stored_turns.add_turn(Conversation.objects.get(), "Hello again", calls=1)
    assert again.tool_calls.get().pk > newest  # sequences continue


@pytest.mark.service
def test_backup_is_restored_into_an_empty_database(party: AgentSession, copy: Path, tmp_path: Path) -> None:
    before = rows_by_table()
    (data := tmp_path / "other").mkdir()
    with database(os.environ["DATABASE_URL"]) as (_, url):
        done = run("manage.py", "restore", copy, "--json", DATABASE_URL=url, DATA_DIR=str(data))
        assert done.returncode == 0, done.stderr
        with psycopg.connect(url) as there:
            assert {name: _rows(there.cursor(), name) for name in before} == before
        audited = LiveDatabase(url).query(f"SELECT action, actor FROM {AUDIT}")  # noqa: S608
    assert audited == [("restore", shell_actor())]
    assert json.loads(done.stdout)["items"] == 4
    with sync_file.opened(data / "agent_sessions.db") as file:
        assert file.items(party.session_id)[0] == {"role": "user", "content": "message 0 of the party – café"}


def test_damaged_backup_changes_nothing(party: AgentSession, copy: Path, session_file: Path, tmp_path: Path) -> None:
    whole, before = copy.read_bytes(), rows_by_table()
    damaged = tmp_path / "damaged.zip"
    damages = [b"", b"no zip at all", whole[: len(whole) // 2], whole[:-1]]
    for at in range(60, len(whole) - 60, len(whole) // 12):
        damages.append(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])

    for data in damages:
        damaged.write_bytes(data)
        try:
            restore(damaged, actor="os:root", force=True, dry_run=True)
        except BadInput as error:
            assert "backup" in error.detail
            with pytest.raises(BadInput):
                restore(damaged, actor="os:root", force=True)
        else:  # the damaged byte has no meaning, such as the time of a member
            assert data not in damages[:4]

    assert rows_by_table() == before
    assert stored_items(party.session_id)
    assert not AuditRecord.objects.filter(action="restore").exists()


def _remove_row(manifest: Manifest, members: dict[str, bytes]) -> None:
    members["record/chat_message"] = members["record/chat_message"].split(b"\n", 1)[1]


def _truncate_sessions(manifest: Manifest, members: dict[str, bytes]) -> None:
    members[archive.MEMORY] = members[archive.MEMORY][:4096]


def _remove_table(manifest: Manifest, members: dict[str, bytes]) -> None:
    del members["record/chat_message"]


@pytest.mark.parametrize("damage", [_remove_row, _truncate_sessions, _remove_table])
def test_incomplete_backup_with_valid_checksums_is_rejected(
    copy: Path, damage: Callable[[Manifest, dict[str, bytes]], None]
) -> None:
    with pytest.raises(BadInput, match="damaged"):
        restore(rewrite_backup(copy, damage), actor="os:root", force=True)


def test_changed_content_fails_its_checksum(copy: Path) -> None:
    with ZipFile(copy) as old, ZipFile(copy.with_name("changed.zip"), "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"Party", b"Porto") if "chat_conv" in name else old.read(name))

    with pytest.raises(BadInput, match="the checksum of record/chat_conversation does not match"):
        restore(copy.with_name("changed.zip"), actor="os:root", force=True)


@BOTH_STORES
def test_inconsistent_backup_leaves_both_stores_unchanged(party: AgentSession, copy: Path, session_file: Path) -> None:
    def without_people(manifest: Manifest, members: dict[str, bytes]) -> None:
        members["record/chat_user"] = b""
        manifest["tables"]["chat_user"]["rows"] = 0

    Conversation.objects.update(title="As it is now")
    before = rows_by_table()
    session_file.with_name("marker").write_text("")

    with pytest.raises(Conflict, match="nothing was changed"):
        restore(rewrite_backup(copy, without_people), actor="os:root", force=True)

    assert rows_by_table() == before
    assert len(stored_items(party.session_id)) == 4
    assert [path.name for path in session_file.parent.iterdir() if path.name.startswith(".")] == []


@BOTH_STORES
def test_failed_commit_brings_back_the_old_sessions(
    party: AgentSession, copy: Path, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as store:
        store.remove([party.session_id])
    append_items(session_file, party.session_id, 3)
    with connection.cursor() as cursor:  # raises only when the transaction commits
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'No.'; END $$;"
            f"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {AUDIT} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
            " WHEN (NEW.action = 'restore') EXECUTE FUNCTION refuse()"
        )
    try:
        with pytest.raises(Conflict, match="No."):
            restore(copy, actor="os:root", force=True)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse() CASCADE")

    assert len(stored_items(party.session_id)) == 3


def test_newer_backup_is_refused(copy: Path) -> None:
    def newer(manifest: Manifest, members: dict[str, bytes]) -> None:
        manifest["version"] = "99.0.0"

    def unknown(manifest: Manifest, members: dict[str, bytes]) -> None:
        manifest["migrations"].append(["chat", "9999_tomorrow"])

    for change in (newer, unknown):
        with pytest.raises(Conflict, match="restore it with that version or a later one"):
            restore(rewrite_backup(copy, change), actor="os:root", force=True)


def without_column(manifest: Manifest, members: dict[str, bytes], table: str, column: str) -> None:
    """Remove a column from a table, as before the migration that added it."""
    columns = manifest["tables"][table]["columns"]
    place = columns.index(column)
    rows = [row.split(b"\t") for row in members[f"record/{table}"].splitlines()]
    members[f"record/{table}"] = b"".join(b"\t".join(row[:place] + row[place + 1 :]) + b"\n" for row in rows)
    del columns[place]


def test_older_backup_is_migrated(party: AgentSession, copy: Path, session_file: Path) -> None:
    def older(manifest: Manifest, members: dict[str, bytes]) -> None:
        manifest["version"], manifest["format"] = "0.2.9", 1
        del manifest["sizes"]
        table = StoreSample._meta.db_table
        manifest["migrations"] = [pair for pair in manifest["migrations"] if pair < later or pair[0] != later[0]]
        del manifest["tables"][table], members[f"record/{table}"]
        without_column(manifest, members, CleanupRun._meta.db_table, "details_removed_at")

    later = ["sessions_admin", "0007"]
    before = rows_by_table()
    change_everything()

    assert restore(rewrite_backup(copy, older), actor="os:root", force=True).version == "0.2.9"

    now = rows_by_table()
    changed_by_migrations = {"django_migrations", "auth_group", "auth_group_permissions"}
    assert {name for name in now if now[name] != before[name]} <= changed_by_migrations
    assert not StoreSample.objects.exists()


@pytest.mark.long
def test_restore_replaces_a_database_with_old_migrations(party: AgentSession, copy: Path, session_file: Path) -> None:
    before = rows_by_table()
    change_everything()
    try:
        call_command("migrate", "sessions_admin", "0006", verbosity=0)
        restore(copy, actor="os:root", force=True)

        assert rows_by_table() == before
    finally:
        call_command("migrate", verbosity=0)


def test_restore_over_existing_users_requires_force(copy: Path, session_file: Path, party: AgentSession) -> None:
    Conversation.objects.update(title="As it is now")
    for options in ([], ["--dry-run"]):
        with pytest.raises(CommandError, match="This database already has users"):
            command_output("restore", copy, *options)
    assert "Could restore the backup of" in command_output("restore", copy, "--force", "--dry-run")
    assert Conversation.objects.get().title == "As it is now"

    assert "Restored the backup of" in command_output("restore", copy, "--force")
    assert Conversation.objects.get().title.startswith("Party")


def test_restore_names_users_erased_since_the_backup(
    copy: Path, session_file: Path, owner: User, outsider: User
) -> None:
    erase_person(owner.pk, actor="os:root", reason="asked for it")

    call_command("restore", str(copy), "--force", stdout=StringIO(), stderr=(errors := StringIO()))

    assert User.objects.filter(pk=owner.pk).exists()
    assert str(owner.pk) in errors.getvalue()
    assert str(outsider.pk) not in errors.getvalue()


async def test_restore_is_refused_while_a_server_uses_the_database(
    start_runner: StartRunner, tmp_path: Path, settings: Settings
) -> None:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "sessions.db"
    await in_database(backup, tmp_path / "copy.zip", actor="os:root")
    await start_runner()
    with pytest.raises(Conflict, match="A server uses this database"):
        await in_database(restore, tmp_path / "copy.zip", actor="os:root", force=True)


def test_restore_is_refused_while_a_turn_runs_without_a_server_lock(copy: Path, party: AgentSession) -> None:
    """Behind a connection pooler, a server holds no lock."""
    turn = stored_turns.add_turn(Conversation.objects.get(), "Buy candles", None, status=Status.RUNNING)
    with pytest.raises(Conflict, match="A server uses this database"):
        restore(copy, actor="os:root", force=True)

    turn.lease_until = timezone.now()  # the server was killed
    turn.save()
    restore(copy, actor="os:root", force=True)


def test_restore_is_refused_while_up_runs(copy: Path, settings: Settings) -> None:
    claim = SingleInstance(settings.DATA_DIR)
    try:
        with pytest.raises(Conflict, match="already running"):
            restore(copy, actor="os:root", force=True)
    finally:
        claim.release()
    restore(copy, actor="os:root", force=True)
    SingleInstance(settings.DATA_DIR).release()


@EACH
async def test_chats_continue_from_a_backup_made_during_turns(
    start_runner: StartRunner, owner: User, tmp_path: Path
) -> None:
    runner = await start_runner()
    chats = [Chat(runner, owner, uuid.uuid4()) for _ in range(3)]

    async def keep_chatting(chat: Chat) -> None:
        for n in range(5):
            await chat.run_turn(f"Add a task to call number {n}")

    chatting = asyncio.gather(*map(keep_chatting, chats))
    await chats[0].run_turn("Add a task to begin")
    made = await in_database(backup, tmp_path / "copy.zip", actor="os:root")
    assert not chatting.done()
    await chatting
    await runner.drain(5)

    await in_database(restore, tmp_path / "copy.zip", actor="os:root", force=True)

    assert made.items > 0
    runner = await start_runner()
    for chat in chats:
        chat.runner = runner
        await chat.run_turn("Add a task to end")
        remembered = await in_database(rebuild, chat.conversation_id, before=2**31 - 1, limit=200)
        assert await chat.session() == remembered.items
        assert len(remembered.items) >= 4
    assert (await in_database(reconcile, repair=False, actor="os:root")).drifted == 0


# The file.


def test_backup_file_is_private_and_overwritten_only_by_force(party: AgentSession, tmp_path: Path) -> None:
    path = tmp_path / "copy.zip"

    made = json.loads(command_output("backup", path, "--json"))

    assert (stat.S_IMODE(path.stat().st_mode), made["bytes"]) == (0o600, path.stat().st_size)
    assert (made["sessions"], made["items"]) == (1, 4)
    with pytest.raises(CommandError, match="exists; --force"):
        command_output("backup", path)
    assert "The copy was verified." in command_output("backup", path, "--force")
    assert [(row.action, row.actor) for row in AuditRecord.objects.all()] == [("backup", shell_actor())] * 2
    assert [left.name for left in tmp_path.iterdir() if left.name.startswith(".")] == []


def test_full_disk_is_reported_and_leaves_no_file(party: AgentSession, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder):
        fill(filler := folder / "filler")
        os.truncate(filler, filler.stat().st_size - 32 * 1024)  # too little for the copy of the session file
        with pytest.raises(BadInput, match=f"There is no space left in {folder}."):
            backup(folder / "copy.zip", actor="os:root")
        assert [path.name for path in folder.iterdir()] == ["filler"]


def test_backup_contains_no_logins_and_no_secret_key(
    owner: User, party: AgentSession, tmp_path: Path, settings: Settings, owner_client: object
) -> None:
    key = Session.objects.get().session_key
    backup(tmp_path / "copy.zip", actor="os:root")

    with ZipFile(tmp_path / "copy.zip") as file:
        everything = b"".join(file.read(name) for name in file.namelist())
    assert owner.email.encode() in everything
    assert key.encode() not in everything
    assert settings.SECRET_KEY.encode() not in everything

    restore(tmp_path / "copy.zip", actor="os:root", force=True)
    assert not Session.objects.exists()


def test_damaged_session_file_is_not_backed_up(party: AgentSession, tmp_path: Path, session_file: Path) -> None:
    with opened() as file:
        file.purge_removed()
    damaged = bytearray(session_file.read_bytes())
    damaged[4096 : 4096 + 2000] = b"\xff" * 2000
    session_file.write_bytes(damaged)

    with pytest.raises((CommandError, BadInput)):
        command_output("backup", tmp_path / "copy.zip")
    assert not (tmp_path / "copy.zip").exists()


def test_backup_does_not_overwrite_files_of_the_site(party: AgentSession, session_file: Path) -> None:
    before = session_file.read_bytes()
    with pytest.raises(Conflict, match="is a file of this site"):
        backup(session_file, actor="os:root", force=True)
    assert session_file.read_bytes() == before
