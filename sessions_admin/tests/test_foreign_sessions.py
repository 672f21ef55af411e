"""Sessions of other programs in the same file are left alone; what is a person's is found in any spelling."""

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
from sessions_admin.tests.conftest import GivenSession, sql
from sessions_admin.tests.talks import talked
from sessions_admin.tests.test_check_sessions import run

pytestmark = pytest.mark.django_db

AN_ITEM = {"role": "user", "content": "theirs"}
NOT_UTF8 = b"\xff\xfe their session"


async def written_by_others(path: Path) -> None:
    """Write sessions as the SDK's classes do, and with ids that those refuse, as a program in C can."""
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
async def others_write(session_file: Path) -> None:
    await written_by_others(session_file)


@pytest.mark.parametrize("page", [1, 250])
@pytest.mark.usefixtures("others_write")
def test_they_are_counted_and_left_alone(
    page: int, owner: User, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (checking, reconciling):
        monkeypatch.setattr(module, "PAGE_SIZE", page)
    talked(owner, session_file)
    session_file.chmod(0o600)
    before = rows(session_file)

    assert check().faults == ()
    assert (check().sessions, check().foreign) == (1, FOREIGN)
    printed, failed = run("check_sessions")
    assert (f"{FOREIGN} sessions of other programs, not checked." in printed, failed) == (True, "")
    report = reconcile(repair=True, actor="os:root")
    assert (report.foreign, report.sessions, report.drifted) == (FOREIGN, FOREIGN + 1, 0)
    assert run("reconcile_sessions")[1] == ""
    assert rows(session_file) == before


@pytest.mark.usefixtures("others_write")
def test_they_survive_the_erasure_of_a_person(owner: User, session_file: Path) -> None:
    before = rows(session_file)
    talked(owner, session_file)

    assert erase_person(owner.pk, actor="os:root", reason="asked for it").left == 0
    assert rows(session_file) == before


SPELLINGS: list[Callable[[str], str]] = [
    str.upper,
    lambda name: name.replace(name[5:41], name[5:41].upper()),
    lambda name: f"{name[:46]}{name[46:].upper()}",
    lambda name: f"{name}\ud800",
]


async def said_as(name: str, path: Path) -> None:
    """Say something under an id; one that is no Unicode is written with a byte that is no UTF-8."""
    if name.endswith("\ud800"):
        name_of_bytes = name[:-1].encode() + b"\xff"
        for statement in (
            "INSERT INTO agent_sessions (session_id) VALUES (CAST(?1 AS TEXT))",
            "INSERT INTO agent_messages (session_id, message_data) VALUES (CAST(?1 AS TEXT), ?2)",
        ):
            sql(path, statement, *[name_of_bytes, json.dumps(AN_ITEM)][: statement.count("?")])
        return
    with closing(SQLiteSession(name, path)) as session:
        await session.add_items([AN_ITEM])  # type: ignore[list-item]


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_a_persons_sessions_are_found_in_any_spelling(
    spelled: Callable[[str], str], owner: User, outsider: User, session_file: Path, given_session: GivenSession
) -> None:
    session, others = given_session(owner), given_session(outsider)
    for each in (session, others):
        asyncio.run(said_as(spelled(each.session_id), session_file))
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


def test_a_held_session_is_held_in_any_letter_case(
    owner: User, session_file: Path, given_session: GivenSession
) -> None:
    session = given_session(owner)
    hold_session(session.session_id, actor="os:root", reason="a court asked")
    asyncio.run(said_as(session.session_id.upper(), session_file))

    report = erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert (report.left, report.held_conversations, len(rows(session_file))) == (0, 1, 5)
