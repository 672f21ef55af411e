"""Sessions of other programs in the same file stay unchanged; a user's sessions are found in any spelling."""

import asyncio
import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession, AsyncSQLiteSession, EncryptedSession

from chat.models import User
from sessions_admin.audit import user_actor
from sessions_admin.people.erase import erase_person
from sessions_admin.people.export import DOCUMENT, export_person
from sessions_admin.sessions.lifecycle import hold_session
from sessions_admin.stores import checking
from sessions_admin.stores import reconcile as reconciling
from sessions_admin.stores.checking import check
from sessions_admin.stores.reconcile import reconcile
from sessions_admin.tests.conftest import MakeSession, sql
from sessions_admin.tests.conversations import make_conversation
from sessions_admin.tests.test_check_sessions import run_command

pytestmark = pytest.mark.django_db

AN_ITEM = {"role": "user", "content": "theirs"}
NOT_UTF8 = b"\xff\xfe their session"


async def write_foreign_sessions(path: Path) -> None:
    """Write sessions with the SDK's classes, and with ids that those reject but a program in C can write."""
    plain, encrypted = SQLiteSession("théirs", path), SQLiteSession("their secrets", path)
    advanced = AdvancedSQLiteSession(session_id="advanced", db_path=path, create_tables=True)
    asynchronous = AsyncSQLiteSession("asynchronous", path)
    secret = EncryptedSession("their secrets", encrypted, "a key of thirty-two characters!!")
    for session in (plain, advanced, asynchronous, secret):
        await session.add_items([AN_ITEM])  # type: ignore[list-item]
    await asynchronous.close()
    for opened in (plain, encrypted, advanced):
        opened.close()
    for cast in ("CAST(? AS TEXT)", "?"):
        sql(path, f"INSERT INTO agent_sessions (session_id) VALUES ({cast})", NOT_UTF8)  # noqa: S608
        for data in ("no item", '{"type": "function_call_output", "call_id": "c", "output": ""}'):
            sql(path, f"INSERT INTO agent_messages (session_id, message_data) VALUES ({cast}, ?)", NOT_UTF8, data)  # noqa: S608
    sql(path, "INSERT INTO agent_messages (session_id, message_data) VALUES ('zz unlisted', '{}')")


FOREIGN = 7


def rows(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as file:
        file.text_factory = bytes
        return file.execute("SELECT * FROM agent_messages ORDER BY id").fetchall()


@pytest.fixture
async def foreign_sessions(session_file: Path) -> None:
    await write_foreign_sessions(session_file)


@pytest.mark.parametrize("page", [1, 250])
@pytest.mark.usefixtures("foreign_sessions")
def test_foreign_sessions_are_counted_and_not_changed(
    page: int, owner: User, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (checking, reconciling):
        monkeypatch.setattr(module, "PAGE_SIZE", page)
    make_conversation(owner, session_file)
    session_file.chmod(0o600)
    before = rows(session_file)

    assert check().faults == ()
    assert (check().sessions, check().foreign) == (1, FOREIGN)
    printed, failed = run_command("check_sessions")
    assert (f"{FOREIGN} sessions of other programs, not checked." in printed, failed) == (True, "")
    report = reconcile(repair=True, actor="os:root")
    assert (report.foreign, report.sessions, report.drifted) == (FOREIGN, FOREIGN + 1, 0)
    assert run_command("reconcile_sessions")[1] == ""
    assert rows(session_file) == before


@pytest.mark.usefixtures("foreign_sessions")
def test_foreign_sessions_survive_the_erasure_of_a_user(owner: User, session_file: Path) -> None:
    before = rows(session_file)
    make_conversation(owner, session_file)

    assert erase_person(owner.pk, actor="os:root", reason="asked for it").left == 0
    assert rows(session_file) == before


SPELLINGS: list[Callable[[str], str]] = [
    str.upper,
    lambda name: name.replace(name[5:41], name[5:41].upper()),
    lambda name: f"{name[:46]}{name[46:].upper()}",
    lambda name: f"{name}\ud800",
]


async def add_item_as(name: str, path: Path) -> None:
    """Add an item to the session of this id; a lone surrogate in it is written as a byte that is not UTF-8."""
    if name.endswith("\ud800"):
        raw_name = name[:-1].encode() + b"\xff"
        for statement in (
            "INSERT INTO agent_sessions (session_id) VALUES (CAST(?1 AS TEXT))",
            "INSERT INTO agent_messages (session_id, message_data) VALUES (CAST(?1 AS TEXT), ?2)",
        ):
            sql(path, statement, *[raw_name, json.dumps(AN_ITEM)][: statement.count("?")])
        return
    with closing(SQLiteSession(name, path)) as session:
        await session.add_items([AN_ITEM])  # type: ignore[list-item]


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_sessions_of_a_user_are_found_in_any_spelling_of_the_id(
    spelled: Callable[[str], str], owner: User, outsider: User, session_file: Path, make_session: MakeSession
) -> None:
    session, other = make_session(owner), make_session(outsider)
    for each in (session, other):
        asyncio.run(add_item_as(spelled(each.session_id), session_file))
    assert len(rows(session_file)) == 10

    export_person(owner.pk, to=(file := BytesIO()), actor=user_actor(owner))
    with zipfile.ZipFile(file) as archive:
        (stray,) = json.loads(archive.read(DOCUMENT))["memory_without_conversation"]
    assert stray["items"] == [AN_ITEM]
    assert str(owner.pk) in stray["session_id"].lower()

    report = erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert {line.kind: line.before for line in report.lines}["sessions"] == 2
    assert len(rows(session_file)) == 5
    assert str(owner.pk).encode() not in session_file.read_bytes().lower()


def test_legal_hold_applies_to_the_id_in_any_letter_case(
    owner: User, session_file: Path, make_session: MakeSession
) -> None:
    session = make_session(owner)
    hold_session(session.session_id, actor="os:root", reason="a court asked")
    asyncio.run(add_item_as(session.session_id.upper(), session_file))

    report = erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert (report.left, report.held_conversations, len(rows(session_file))) == (0, 1, 5)
