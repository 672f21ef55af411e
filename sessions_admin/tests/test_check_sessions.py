"""The commands `check_sessions` and `reconcile_sessions`, with text and JSON output."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chat.models import AgentSession, User
from chat.models.turn import Status
from sessions_admin.models import AuditRecord
from sessions_admin.stores.checking import Fault, check
from sessions_admin.tests.conftest import BOTH_STORES, create_turn, sql
from sessions_admin.tests.conversations import make_conversation

pytestmark = pytest.mark.django_db


def run_command(name: str, *options: str) -> tuple[str, str]:
    """Run a command; return its output and its error message."""
    printed, failed = StringIO(), ""
    try:
        call_command(name, *options, stdout=printed)
    except CommandError as error:
        failed = str(error)
    return printed.getvalue(), failed


def report(name: str, *options: str) -> Any:
    return json.loads(run_command(name, "--json", *options)[0])


def details() -> list[str]:
    return [fault.detail for fault in check().faults]


@BOTH_STORES
def test_sound_store_is_reported(owner: User, session_file: Path) -> None:
    make_conversation(owner, session_file)

    assert run_command("check_sessions") == ("1 sessions, 6 items: sound.\n", "")
    assert report("check_sessions") == {
        "exists": True,
        "sessions": 1,
        "items": 6,
        "busy": 0,
        "faults": [],
        "foreign": 0,
        "leftovers": [],
        "pending_deletions": 0,
        "is_sound": True,
    }


def test_missing_file_is_sound_and_is_not_created(session_file: Path) -> None:
    assert report("check_sessions")["exists"] is False
    assert not session_file.exists()


def spoil_third_row(path: Path) -> int:
    """Corrupt the third row; return the id of the first."""
    ((first,),) = sql(path, "SELECT min(id) FROM agent_messages")
    assert isinstance(first, int)
    sql(path, "UPDATE agent_messages SET message_data = 'no' WHERE id = ?", first + 2)
    return first


@BOTH_STORES
def test_invalid_items_are_reported_by_row(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    first = spoil_third_row(session_file)
    output = json.dumps({"type": "function_call_output", "call_id": "c", "output": ""})
    insert = "INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)"
    sql(session_file, insert, session.session_id, output)

    printed, failed = run_command("check_sessions")

    assert f"{session.session_id}: row {first + 2} holds no item; row {first + 6} answers no open call\n" in printed
    assert failed == "1 fault. `reconcile_sessions --repair` repairs those of sessions."


@BOTH_STORES
def test_busy_session_is_not_checked(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    spoil_third_row(session_file)
    create_turn(session, Status.RUNNING)

    assert (check().busy, check().is_sound) == (1, True)


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("unmounted.db"))


FAULTS: dict[str, Callable[[Path], object]] = {
    "is a link to a file that does not exist": link_to_nothing,
    "It is readable by other users: its mode is 0644.": lambda path: path.chmod(0o644),
    "SQLite: file is not a database": lambda path: path.write_text("this is no database, and long enough" * 20),
    "The table agent_messages is not the SDK’": lambda path: sql(path, "ALTER TABLE agent_messages ADD COLUMN a TEXT"),
}


@pytest.mark.parametrize("detail", FAULTS)
def test_fault_of_the_file_is_reported(owner: User, session_file: Path, detail: str) -> None:
    make_conversation(owner, session_file)
    FAULTS[detail](session_file)

    assert [found[: len(detail)] for found in details()] == [detail]


def test_corrupt_page_is_reported(owner: User, session_file: Path) -> None:
    make_conversation(owner, session_file, turns=40)
    with closing(sqlite3.connect(session_file)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.execute("PRAGMA journal_mode=DELETE")
        ((page,),) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'idx_agent_messages_session_id'")
    data = bytearray(session_file.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\x00" * 4096
    session_file.write_bytes(data)

    assert all(detail.startswith("SQLite: ") for detail in details())
    assert details()


def test_items_without_a_session_row_are_reported(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    sql(session_file, "DELETE FROM agent_sessions")

    assert check().faults == (Fault(session.session_id, "has items, but no row in agent_sessions"),)


# Comparing the stores.


@BOTH_STORES
def test_reconcile_sessions_fails_until_differences_are_repaired(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    AgentSession.objects.update(item_count=9)

    printed, failed = run_command("reconcile_sessions")
    assert f"{session.session_id}: The metadata has other counts of items or bytes\n" in printed
    assert "1 sessions in the store and 1 conversations compared; 1 differ.\n" in printed
    assert "reconcile_sessions --repair" in failed

    assert run_command("reconcile_sessions", "--repair", "--reason", "a drill")[0].endswith("1 differ, 1 repaired.\n")
    found = report("reconcile_sessions", "--dry-run")
    assert (found["drifted"], found["is_clean"], found["findings"]) == (0, True, [])
    repaired = AuditRecord.objects.get(session_id=session.session_id)
    assert repaired.actor.startswith("os:")
    assert repaired.reason == "a drill"


@BOTH_STORES
def test_reconcile_sessions_prints_findings_as_json(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    AgentSession.objects.update(item_count=9)

    assert report("reconcile_sessions", "--repair")["findings"] == [
        {
            "session_id": session.session_id,
            "drifts": ["counts"],
            "items_in_mirror": 9,
            "items_in_file": 6,
            "repaired": True,
        }
    ]
