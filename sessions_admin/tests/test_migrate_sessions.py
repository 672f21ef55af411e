"""Sessions are migrated between stores, in both directions, while users chat: nothing is lost or changed."""

import asyncio
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from chat.conversations.services import empty_trash
from chat.infra.db_threads import in_database
from chat.memory.configured import DATABASE, FILE, opened
from chat.memory.rebuild import rebuild
from chat.memory.sync_store import RawSession, SyncStore
from chat.models import AgentSession, Conversation, User
from chat.models.turn import Status
from chat.tests.conftest import Chat, StartRunner
from config.tests.support import LiveDatabase, create_tables, database, with_name
from config.tests.support import run as run_process
from sessions_admin.models import Action, AuditRecord
from sessions_admin.people.erase import erase_person
from sessions_admin.stores.checking import check
from sessions_admin.stores.migrate import migrate
from sessions_admin.stores.reconcile import reconcile
from sessions_admin.tests.conftest import MakeSession, command_output, count_rows, create_turn, sql
from sessions_admin.tests.conversations import make_conversation

DIRECTIONS = pytest.mark.parametrize(
    ("store_kind", "to"), [(FILE, DATABASE), (DATABASE, FILE)], indirect=["store_kind"]
)


def run(*arguments: object) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(command_output("migrate_sessions", *arguments, "--json"))
    return result


def all_sessions(store: SyncStore) -> dict[str, RawSession]:
    return store.raw(store.next_ids("", 1000))


def raw_sessions(name: str) -> dict[str, RawSession]:
    with opened(name) as store:
        return all_sessions(store)


@DIRECTIONS
def test_all_rows_and_the_last_turn_of_each_session_are_copied(
    owner: User, session_file: Path, settings: Settings, to: str
) -> None:
    sessions = [make_conversation(owner, session_file, turns=turns) for turns in (1, 2, 3)]
    sql(
        session_file,
        "UPDATE agent_messages SET message_data = 'no item' WHERE id = (SELECT max(id) FROM agent_messages)",
    )
    before = raw_sessions(configured.AGENT_SESSION_STORE)

    first = run("--to", to)

    assert (first["sessions"], first["copied"], first["busy"], first["passes"]) == (3, 3, 0, 2)
    assert raw_sessions(to) == before == raw_sessions(configured.AGENT_SESSION_STORE)
    assert [before[session.session_id].before for session in sessions] == [0, 2, 4]
    second = run("--to", to)
    assert (second["copied"], second["equal"], second["passes"]) == (0, 3, 1)
    settings.AGENT_SESSION_STORE = to
    assert reconcile(repair=False, actor="os:root").drifted == 1, "only the row that holds no item drifts"
    assert AuditRecord.objects.filter(action=Action.MIGRATE).count() == 2


@DIRECTIONS
def test_second_run_copies_changes_and_deletions(owner: User, session_file: Path, to: str) -> None:
    changed, removed, same = (make_conversation(owner, session_file) for _ in range(3))
    run("--to", to)
    sql(session_file, "DELETE FROM agent_messages WHERE session_id = ?", changed.session_id)
    with opened() as store:
        store.remove([removed.session_id])

    second = run("--to", to)

    assert (second["copied"], second["equal"], second["removed"]) == (1, 2, 1)
    assert raw_sessions(to) == raw_sessions(configured.AGENT_SESSION_STORE)
    assert set(raw_sessions(to)) == {changed.session_id, same.session_id}


@DIRECTIONS
def test_only_a_running_turn_keeps_a_session_from_being_copied(
    make_session: MakeSession, owner: User, session_file: Path, to: str
) -> None:
    running, waiting = make_session(owner), make_session(owner)
    create_turn(running, Status.RUNNING)
    create_turn(waiting, Status.WAITING)

    report = run("--to", to)

    assert (report["copied"], report["busy"], set(raw_sessions(to))) == (1, 1, {waiting.session_id})


@DIRECTIONS
def test_a_dry_run_copies_nothing(owner: User, session_file: Path, to: str) -> None:
    make_conversation(owner, session_file)

    assert "Would copy 1 session" in command_output("migrate_sessions", "--to", to, "--dry-run")

    assert raw_sessions(to) == {}


@DIRECTIONS
def test_old_store_can_be_emptied_only_after_the_switch(
    owner: User, session_file: Path, settings: Settings, to: str
) -> None:
    session = make_conversation(owner, session_file)
    sql(session_file, "INSERT INTO agent_sessions (session_id) VALUES ('somebody’s own')")
    before = configured.AGENT_SESSION_STORE
    command_output("migrate_sessions", "--to", to)
    with pytest.raises(CommandError, match="in use"):
        command_output("migrate_sessions", "--remove", before)
    settings.AGENT_SESSION_STORE = to
    with pytest.raises(CommandError, match="already"):
        command_output("migrate_sessions", "--to", to)

    assert "Would remove 1 session" in command_output("migrate_sessions", "--remove", before, "--dry-run")
    assert "Removed 1 session" in command_output("migrate_sessions", "--remove", before)

    assert set(raw_sessions(before)) == {"somebody’s own"}
    assert count_rows(session_file, session.session_id) == [6, 1, 1]
    assert check().is_sound


def purge(session: AgentSession) -> None:
    Conversation.objects.filter(pk=session.conversation_id).update(trashed_at=timezone.now())
    empty_trash(user_id=session.user_id)


def erase(session: AgentSession) -> None:
    report = erase_person(session.user_id, actor="os:root", reason="She asked")
    assert [each.place for each in report.elsewhere] == []


@DIRECTIONS
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("delete", [purge, erase])
def test_deletion_also_removes_the_copy_in_the_other_store(
    owner: User, outsider: User, session_file: Path, to: str, delete: Callable[[AgentSession], None]
) -> None:
    session, other = make_conversation(owner, session_file), make_conversation(outsider, session_file)
    run("--to", to)

    delete(session)

    assert set(raw_sessions(to)) == set(raw_sessions(configured.AGENT_SESSION_STORE)) == {other.session_id}


def test_session_with_undecodable_row_is_not_copied(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    make_conversation(owner, session_file)
    corrupt = "UPDATE agent_messages SET message_data = CAST(? AS TEXT) WHERE id = 1"
    sql(session_file, corrupt, b"\xff\xfe")

    report = run("--to", DATABASE)

    assert (report["copied"], report["unreadable"]) == (1, 1)
    assert session.session_id not in raw_sessions(DATABASE)


def test_unknown_store_name_is_refused(session_file: Path, db: None) -> None:
    with pytest.raises(CommandError, match="must be file, database, or the URL"):
        command_output("migrate_sessions", "--to", "redis")


@pytest.mark.service
@pytest.mark.django_db(transaction=True)
def test_tables_are_created_in_another_postgresql_and_used(owner: User, session_file: Path, tmp_path: Path) -> None:
    session, server = make_conversation(owner, session_file), os.environ["DATABASE_URL"]
    with database(server) as (_, other):
        environment = {
            "DATABASE_URL": with_name(server, connection.settings_dict["NAME"]),
            "DATA_DIR": str(tmp_path),
            "AGENT_SESSION_DB_PATH": str(session_file),
        }
        moved = run_process("manage.py", "migrate_sessions", "--to", other, "--json", **environment)
        environment["AGENT_SESSION_STORE"] = other
        checked = run_process("manage.py", "check_sessions", "--json", **environment)
        ((items,),) = LiveDatabase(other).query("SELECT count(*) FROM agent_messages")

    assert moved.returncode == checked.returncode == 0, moved.stderr + checked.stderr
    report = json.loads(moved.stdout)
    assert (report["copied"], report["target"], items) == (1, "another PostgreSQL", 6)
    assert (json.loads(checked.stdout)["sessions"], json.loads(checked.stdout)["is_sound"]) == (1, True)
    assert count_rows(session_file, session.session_id) == [6, 1, 1]


@pytest.mark.long
@pytest.mark.service
@pytest.mark.django_db(transaction=True)
def test_store_in_use_is_recognised_under_another_url(owner: User, session_file: Path, tmp_path: Path) -> None:
    session, server = make_conversation(owner, session_file), os.environ["DATABASE_URL"]
    run("--to", DATABASE)
    own = with_name(server, connection.settings_dict["NAME"])
    environment = {
        "DATABASE_URL": own,
        "DATA_DIR": str(tmp_path),
        "AGENT_SESSION_STORE": own + "&application_name=other",
    }
    for arguments in (["--remove", own], ["--remove", DATABASE], ["--to", own], ["--to", DATABASE]):
        refused = run_process("manage.py", "migrate_sessions", *arguments, **environment)
        assert refused.returncode == 1 and "AGENT_SESSION_STORE names" in refused.stderr, refused.stderr
    assert set(raw_sessions(DATABASE)) == {session.session_id}
    # Nor does erasure treat it as a second store, in which the first would have locked the rows.
    erased = run_process("manage.py", "erase_user", owner.email, "--reason", "asked to", "--yes", **environment)
    assert erased.returncode == 0, erased.stderr
    assert raw_sessions(DATABASE) == {}


@pytest.mark.service
@pytest.mark.django_db(transaction=True)
def test_restore_into_a_used_store_requires_force_and_keeps_foreign_sessions(
    session_file: Path, tmp_path: Path
) -> None:
    server = os.environ["DATABASE_URL"]
    with database(server) as (_, sessions), database(server) as (_, first), database(server) as (_, second):
        store = {"AGENT_SESSION_STORE": sessions}
        create_tables(first, tmp_path)
        session_database = LiveDatabase(sessions)
        at_first = {"DATABASE_URL": first, "DATA_DIR": str(tmp_path / "first")} | store
        assert run_process("manage.py", "backup", str(tmp_path / "b.zip"), **at_first).returncode == 0
        ours = f"user_{uuid.uuid4()}_conv_{uuid.uuid4()}"
        session_database.query("INSERT INTO agent_sessions (session_id) VALUES (%s), ('other program')", ours)

        at_second = {"DATABASE_URL": second, "DATA_DIR": str(tmp_path / "second")} | store
        refused = run_process("manage.py", "restore", str(tmp_path / "b.zip"), **at_second)
        assert "The session store (another PostgreSQL) already has sessions" in refused.stderr
        assert run_process("manage.py", "restore", str(tmp_path / "b.zip"), "--force", **at_second).returncode == 0
        assert session_database.query("SELECT session_id FROM agent_sessions") == [("other program",)]


DROP_TABLES = """
import django
django.setup()
from django.db import connections
from chat.exceptions import MemoryUnavailable
from chat.memory.configured import opened
with opened() as store:
    print(store.count())
    connections["sessions"].cursor().execute("DROP TABLE agent_messages, agent_sessions")
    try:
        store.count()
    except MemoryUnavailable:
        print(store.count())
"""


def test_dropped_tables_are_created_again(tmp_path: Path) -> None:
    with database(os.environ["DATABASE_URL"]) as (_, url):
        result = run_process("-c", DROP_TABLES, DATA_DIR=str(tmp_path), AGENT_SESSION_STORE=url)
    assert result.stdout.split() == ["0", "0"], result.stderr


@pytest.mark.parametrize(("each_store", "to"), [(FILE, DATABASE), (DATABASE, FILE)], indirect=["each_store"])
@pytest.mark.django_db(transaction=True)
async def test_turns_during_migration_are_kept_in_the_new_store(
    each_store: str, start_runner: StartRunner, owner: User, settings: Settings, to: str
) -> None:
    runner = await start_runner()
    chats = [Chat(runner, owner, uuid.uuid4()) for _ in range(3)]

    async def keep_chatting(chat: Chat) -> None:
        for n in range(4):
            await chat.run_turn(f"Add a task to call number {n}")

    await chats[0].run_turn("Add a task to begin")
    talking = asyncio.gather(*map(keep_chatting, chats))
    report = await in_database(migrate, to, actor="os:root")
    assert not talking.done()
    await talking
    await runner.drain(5)
    assert report.sessions

    settings.AGENT_SESSION_STORE = to
    runner = await start_runner()
    for chat in chats:
        chat.runner = runner
        await chat.run_turn("Add a task to end")
        rebuilt = await in_database(rebuild, chat.conversation_id, before=2**31 - 1, limit=200)
        assert await chat.session() == rebuilt.items
    assert await in_database(AgentSession.objects.filter(item_count__gt=0).count) == 3
    assert (await in_database(reconcile, repair=False, actor="os:root")).drifted == 0
