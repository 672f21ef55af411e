"""The search finds the e-mail address and the id of a user in any column and in any byte of the session file."""

import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.db import connection
from django_q.tasks import async_task

from chat.memory.file_search import count_in_file
from chat.memory.sync_file import opened
from chat.models import User
from config.tests.support import PASSWORD
from sessions_admin.people import personal_data, remains
from sessions_admin.people.remains import Search, search
from sessions_admin.people.terms import Terms, unpacked
from sessions_admin.tests.conftest import MakeSession

COLUMNS = {
    "text": "t::text",
    "varchar(4000)": "t::varchar",
    "json": "json_build_object('a', t)",
    "jsonb": "jsonb_build_object('a', t)",
    "bytea": "convert_to(t, 'UTF8')",
    "text[]": "ARRAY['x', t]",
    "tsvector": "array_to_tsvector(ARRAY[lower(t)])",
}


def run_search(person: User, path: Path, *, seconds: float | None = None) -> Search:
    with opened(path) as file:
        return search(personal_data.subject(person).terms, file, seconds=seconds)


def counts_by_place(person: User, path: Path) -> dict[str, tuple[int, int]]:
    return {each.place: (each.addresses, each.ids) for each in run_search(person, path).found}


def create_table(values: str, *, named: str = "scratch", schema: str = "other") -> None:
    """Create a table with a column of each type, filled from `values`, an SQL source with a column `t`."""
    columns = ", ".join(f'"{kind} ""column""" {kind}' for kind in COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        cursor.execute(f"CREATE TABLE {schema}.{named} ({columns}, id uuid, ids uuid[])")
        rows = f"SELECT {', '.join(COLUMNS.values())}, NULL, NULL FROM {values}"  # noqa: S608
        cursor.execute(f"INSERT INTO {schema}.{named} {rows}")


def test_email_and_id_are_found_in_any_column_type_of_any_schema(owner: User, session_file: Path) -> None:
    former = "Anna.Former@Example.com"
    for email in (former.lower(), owner.email):
        User.objects.filter(pk=owner.pk).update(email=email)
    create_table(f"(VALUES ('Write to <{former}>.'), ('{owner.pk}'), ('{owner.pk.hex}'), ('nothing')) AS v(t)")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO other.scratch (id, ids) VALUES (%s, %s)", [owner.pk, [uuid.uuid4(), owner.pk]])

    found = {
        place: counts for place, counts in counts_by_place(owner, session_file).items() if place.startswith("other")
    }

    assert found.pop("other.scratch.id") == found.pop("other.scratch.ids") == (0, 1)
    assert found == {f'other.scratch.{kind} "column"': (1, 2) for kind in COLUMNS}


def test_email_and_id_are_found_in_data_that_django_encodes(owner: User, session_file: Path) -> None:
    login = SessionStore()
    login["user"], login["email"] = str(owner.pk), owner.email * 50  # long enough to be compressed
    login.save()
    async_task("builtins.len", owner.email, person=owner.pk)
    cache.set("key", {"email": owner.email}, 60)

    found = counts_by_place(owner, session_file)

    assert found["django_session.session_data"] == (1, 1)
    assert found["django_q_ormq.payload"] == (1, 1)  # stored as a number
    assert found["django_cache.value"] == (1, 0)
    assert unpacked("no base64 é") == "no base64 é".encode()


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ("owner@example.com", True),
        ("Owner@EXAMPLE.com.", True),
        ("mailto:owner@example.com?x", True),
        (json.dumps("hello\nowner@example.com\n"), True),
        ("next=owner%40example.com", True),
        ("the.owner@example.com", False),
        ("owner@example.com.au", False),
        ("owner@example.community", False),
        ("x+owner@example.com", False),
    ],
)
def test_email_is_not_found_inside_a_longer_address(text: str, is_named: bool, owner: User, session_file: Path) -> None:
    create_table(f"(VALUES ('{text}')) AS v(t)")

    found = {
        place: counts for place, counts in counts_by_place(owner, session_file).items() if "scratch.text " in place
    }

    assert found == ({'other.scratch.text "column"': (1, 0)} if is_named else {})
    assert Terms(owner.pk, (owner.email,)).matches(text) == is_named


def test_non_ascii_email_is_found_in_any_letter_case(owner: User, session_file: Path) -> None:
    User.objects.filter(pk=owner.pk).update(email="jörg@exämple.de")
    owner.refresh_from_db()
    create_table("(VALUES ('JÖRG@EXÄMPLE.DE')) AS v(t)")
    assert counts_by_place(owner, session_file)['other.scratch.text "column"'] == (1, 0)


def test_rows_of_a_table_read_in_pages_are_counted_once(
    owner: User, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remains, "FIRST_PAGES", 1)
    monkeypatch.setattr(remains, "MAX_PAGES", 2)
    create_table(f"(SELECT repeat('x ', 400) || '{owner.email}' AS t FROM generate_series(1, 300)) AS v")  # noqa: S608

    assert counts_by_place(owner, session_file)['other.scratch.text "column"'] == (300, 0)
    timed_out = run_search(owner, session_file, seconds=0)
    assert "other.scratch" in timed_out.unsearched


def test_unreadable_table_is_reported_as_unsearched(owner: User, session_file: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA secret; CREATE TABLE secret.words (t text); CREATE ROLE nobody_special;")
        cursor.execute("GRANT USAGE ON SCHEMA public TO nobody_special")
        cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO nobody_special")
        terms = personal_data.subject(owner).terms
        cursor.execute("SET LOCAL ROLE nobody_special")
        with opened(session_file) as file:
            found = search(terms, file)
        cursor.execute("RESET ROLE")
    assert found.unsearched == ["secret.words"]
    assert {each.place for each in found.found} >= {"chat_user.email", "chat_user.id"}


# The session file.


def test_email_and_id_are_found_in_rows_free_pages_and_wal(
    owner: User, make_session: MakeSession, session_file: Path
) -> None:
    session = make_session(owner)
    column_counts = counts_by_place(owner, session_file)
    assert column_counts["agent_sessions.db: agent_messages.session_id"] == (0, 4)
    assert column_counts["agent_sessions.db: agent_sessions.session_id"] == (0, 1)

    with closing(sqlite3.connect(session_file)) as writer:
        writer.execute("PRAGMA secure_delete=OFF")
        writer.execute("CREATE TABLE theirs (a TEXT)")
        writer.execute("INSERT INTO theirs VALUES (?)", (f"Write to OWNER@example.com {'x' * 9000}",))
        writer.commit()
        assert counts_by_place(owner, session_file)["agent_sessions.db-wal, bytes"][0] == 1
        writer.execute("DROP TABLE theirs")
        writer.execute("DELETE FROM agent_messages")
        writer.commit()
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = counts_by_place(owner, session_file)
    assert "agent_sessions.db: theirs.a" not in found
    assert found["agent_sessions.db, bytes"][0] == 1  # in a free page
    assert session.session_id not in str(found)


def test_id_is_found_in_a_corrupt_file_that_was_moved_aside(owner: User, session_file: Path) -> None:
    session_file.with_name("agent_sessions.db.corrupt-20260101T000000000000").write_bytes(
        b"\xff" + owner.pk.hex.encode()
    )
    assert counts_by_place(owner, session_file)["agent_sessions.db.corrupt-20260101T000000000000, bytes"] == (0, 1)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7, 100])
def test_match_across_two_chunks_is_counted_once(chunk: int, tmp_path: Path) -> None:
    (path := tmp_path / "file").write_bytes(b"..Owner@x..ownER@x." + b"id" * 3 + b"owner@x")
    assert count_in_file(str(path), [b"owner@x", b"id", b"none"], chunk) == [3, 3, 0]


def test_longer_email_of_another_user_is_not_counted(owner: User, session_file: Path) -> None:
    other = User.objects.create_user(f"the.{owner.email}", PASSWORD)
    session_file.with_name("agent_sessions.db.corrupt-1").write_bytes(f"{other.email}, {other.email}".encode())
    assert "agent_sessions.db.corrupt-1, bytes" not in counts_by_place(owner, session_file)
