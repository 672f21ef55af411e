"""Drift between metadata and session store: each kind is found, named and repaired from the journal."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat.exceptions import MemoryUnavailable
from chat.infra.db_threads import in_database
from chat.memory.configured import DATABASE, FILE
from chat.memory.identity import SessionId
from chat.memory.statements import TABLES
from chat.models import AgentSession, Conversation, Quarantined, Turn, User
from chat.models.turn import Status
from chat.tests.conftest import Chat
from sessions_admin.models import Action, AuditRecord
from sessions_admin.sessions import lifecycle
from sessions_admin.stores.drift import Drift
from sessions_admin.stores.reconcile import ReconcileReport, reconcile
from sessions_admin.tests.conftest import BOTH_STORES, OLD, count_rows, create_turn, sql
from sessions_admin.tests.conversations import make_conversation

BY = "os:tester"
Damage = Callable[[AgentSession, Path], None]


def compare(*, repair: bool = False) -> ReconcileReport:
    return reconcile(repair=repair, actor=BY, reason="a drill")


def drifts_by_session(report: ReconcileReport) -> dict[str, list[Drift]]:
    return {finding.session_id: list(finding.drifts) for finding in report.findings}


# Ways to damage a session of three turns with six items.


def metadata(**values: object) -> Damage:
    return lambda session, path: [AgentSession.objects.filter(pk=session.pk).update(**values)].clear()


def in_store(statement: str, *values: object) -> Damage:
    return lambda session, path: sql(path, statement, *values, session.session_id).clear()


def without_metadata(session: AgentSession, path: Path) -> None:
    session.delete()


def moved_to_another_user(session: AgentSession, path: Path) -> None:
    other_user = User.objects.create_user("stranger@example.com")
    AgentSession.objects.filter(pk=session.pk).update(
        user=other_user, session_id=str(SessionId(other_user.pk, session.conversation_id))
    )


def emptied(session: AgentSession, path: Path) -> None:
    for table in TABLES:
        sql(path, f"DELETE FROM {table} WHERE session_id = ?", session.session_id)  # noqa: S608


def one_more_turn(session: AgentSession, path: Path) -> None:
    create_turn(session, Status.DONE)
    Turn.objects.filter(seq=4).update(items=[HELLO])


def cleared(session: AgentSession, path: Path) -> None:
    Conversation.objects.filter(session=session).update(memory_from=3)


def reply_not_stored(session: AgentSession, path: Path) -> None:
    Turn.objects.filter(conversation=session.conversation_id, seq=3).update(warning="context_unavailable")
    sql(path, f"DELETE FROM agent_messages WHERE {NEWEST}")  # noqa: S608
    size = sum(len(row) for row in rows(session, path))
    AgentSession.objects.filter(pk=session.pk).update(item_count=5, byte_count=size)


def swapped(session: AgentSession, path: Path) -> None:
    (first,), (second,) = sql(path, "SELECT id FROM agent_messages WHERE session_id = ? LIMIT 2", session.session_id)
    for old, new in ((first, -1), (second, first), (-1, second)):
        sql(path, "UPDATE agent_messages SET id = ? WHERE id = ?", new, old)


def rows(session: AgentSession, path: Path) -> list[str]:
    query = "SELECT message_data FROM agent_messages WHERE session_id = ? ORDER BY id"
    return [str(data) for (data,) in sql(path, query, session.session_id)]


HELLO = {"role": "user", "content": "Hello again"}
CALL = json.dumps({"type": "function_call", "call_id": "c1", "name": "list_tasks", "arguments": "{}"})
GONE = {"gone_at": timezone.now(), "item_count": 0, "byte_count": 0}
NEWEST = "id = (SELECT max(id) FROM agent_messages)"

UNLISTED = "no row in agent_sessions"
DAMAGES: dict[str, tuple[Damage, set[Drift]]] = {
    "metadata has another user": (moved_to_another_user, {Drift.OWNER}),
    "no metadata": (without_metadata, {Drift.UNMIRRORED}),
    "no items in the store": (emptied, {Drift.MISSING}),
    "marked as deleted, but has items": (metadata(**GONE), {Drift.NOT_GONE}),
    "wrong item count": (metadata(item_count=7), {Drift.COUNTS}),
    "wrong byte count": (metadata(byte_count=7), {Drift.COUNTS}),
    "outdated last activity": (metadata(last_activity_at=timezone.now() - OLD), {Drift.STALE}),
    "older turn in the store": (
        in_store("UPDATE threadkeeper_turns SET turn = 2 WHERE session_id = ?"),
        {Drift.BEHIND},
    ),
    "no turn in the store": (in_store("DELETE FROM threadkeeper_turns WHERE session_id = ?"), {Drift.BEHIND}),
    "newer attempt in the store": (
        in_store("UPDATE threadkeeper_turns SET attempt = 2 WHERE session_id = ?"),
        {Drift.AHEAD},
    ),
    "one more turn in the record": (one_more_turn, {Drift.BEHIND, Drift.STALE}),
    "cleared conversation with items": (cleared, {Drift.AHEAD}),
    "reply missing in the store": (reply_not_stored, {Drift.BEHIND, Drift.ALTERED}),
    "row missing in the middle": (
        in_store("DELETE FROM agent_messages WHERE id = (SELECT max(id) - 3 FROM agent_messages) AND session_id = ?"),
        {Drift.COUNTS, Drift.BEHIND, Drift.ALTERED},
    ),
    "row with invalid JSON": (
        in_store(f"UPDATE agent_messages SET message_data = 'no' WHERE {NEWEST} AND session_id = ?"),  # noqa: S608
        {Drift.NO_ITEM, Drift.COUNTS, Drift.BEHIND, Drift.ALTERED},
    ),
    "tool call without output": (
        in_store(f"UPDATE agent_messages SET message_data = ? WHERE {NEWEST} AND session_id = ?", CALL),  # noqa: S608
        {Drift.UNSOUND, Drift.COUNTS, Drift.BEHIND, Drift.ALTERED},
    ),
    "text replaced by one of the same length": (
        in_store(
            f"UPDATE agent_messages SET message_data = replace(message_data, 'reply', 'lying')"  # noqa: S608
            f" WHERE {NEWEST} AND session_id = ?"
        ),
        {Drift.ALTERED, Drift.BEHIND},
    ),
    "two rows swapped": (swapped, {Drift.ALTERED, Drift.BEHIND}),
    UNLISTED: (in_store("DELETE FROM agent_sessions WHERE session_id = ?"), {Drift.UNLISTED}),
}


# The database refuses items without their session.
@pytest.mark.parametrize(
    ("store_kind", "how"),
    [(kind, how) for kind in (FILE, DATABASE) for how in DAMAGES if (kind, how) != (DATABASE, UNLISTED)],
    indirect=["store_kind"],
)
def test_drift_is_found_and_repaired(how: str, owner: User, session_file: Path) -> None:
    damage, expected = DAMAGES[how]
    sound, session = make_conversation(owner, session_file), make_conversation(owner, session_file)
    before = [json.loads(row) for row in rows(session, session_file)]
    damage(session, session_file)

    report = compare()
    assert {name: set(found) for name, found in drifts_by_session(report).items()} == {session.session_id: expected}
    assert (report.drifted, report.repaired, report.is_clean) == (1, 0, False)
    assert compare().found == report.found, "a comparison changes nothing"

    repaired = compare(repair=True)
    assert (drifts_by_session(repaired), repaired.is_clean) == (drifts_by_session(report), True)
    after = compare()
    assert (after.drifted, after.found) == (0, {})

    metadata_row = AgentSession.objects.get(conversation=session.conversation_id)
    items = [json.loads(row) for row in rows(session, session_file)]
    if how == "cleared conversation with items":
        assert (items, metadata_row.item_count, count_rows(session_file, session.session_id)) == ([], 0, [0, 0, 0])
        assert metadata_row.gone_at is not None
    else:
        assert items == before + ([HELLO] if how == "one more turn in the record" else [])
        assert (metadata_row.user_id, metadata_row.session_id, metadata_row.gone_at) == (
            owner.pk,
            session.session_id,
            None,
        )
        assert count_rows(session_file, session.session_id) == [metadata_row.item_count, 1, 1] == [len(items), 1, 1]
    audited = AuditRecord.objects.filter(action=Action.RECONCILE, session_id=session.session_id).get()
    assert (audited.actor, audited.reason, audited.person) == (BY, "a drill", str(owner.pk))
    assert set(audited.result["drifts"]) == {drift.value for drift in expected}
    assert not AuditRecord.objects.filter(session_id=sound.session_id).exists()


@BOTH_STORES
def test_matching_stores_have_no_drift(owner: User, outsider: User, session_file: Path) -> None:
    for user in (owner, outsider):
        make_conversation(user, session_file)
        make_conversation(user, session_file, idle=OLD)

    report = compare()

    assert (report.sessions, report.conversations, report.drifted, report.foreign) == (4, 4, 0, 0)
    assert AuditRecord.objects.get().result["drifted"] == 0


@BOTH_STORES
def test_a_session_without_a_conversation_is_removed(owner: User, session_file: Path) -> None:
    orphan, side = make_conversation(owner, session_file), make_conversation(owner, session_file)
    sql(session_file, "DELETE FROM agent_messages WHERE session_id = ?", side.session_id)
    sql(session_file, "DELETE FROM agent_sessions WHERE session_id = ?", side.session_id)
    Conversation.objects.all().delete()

    assert compare().found == {"orphan": 2}
    assert count_rows(session_file, orphan.session_id) == [6, 1, 1]
    assert compare(repair=True).repaired == 2
    assert count_rows(session_file, orphan.session_id) == count_rows(session_file, side.session_id) == [0, 0, 0]
    assert compare().found == {}


@BOTH_STORES
def test_session_under_another_users_id_is_removed_unless_held(owner: User, outsider: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    other_id = str(SessionId(outsider.pk, session.conversation_id))
    sql(session_file, "INSERT INTO agent_sessions (session_id) VALUES (?)", other_id)
    sql(session_file, "INSERT INTO agent_messages (session_id, message_data) VALUES (?, '{}')", other_id)

    assert compare().found == {"stranger": 1}
    lifecycle.hold_session(session.session_id, actor=BY, reason="the court")
    assert (compare(repair=True).held, count_rows(session_file, other_id)[0]) == (1, 1)
    lifecycle.release_session(session.session_id, actor=BY)
    assert compare(repair=True).repaired == 1
    assert count_rows(session_file, other_id) == [0, 0, 0]
    assert count_rows(session_file, session.session_id) == [6, 1, 1]


@BOTH_STORES
def test_foreign_sessions_are_reported_and_not_changed(owner: User, session_file: Path) -> None:
    make_conversation(owner, session_file)
    sql(session_file, "INSERT INTO agent_sessions (session_id) VALUES ('somebody’s own')")
    sql(session_file, "INSERT INTO agent_messages (session_id, message_data) VALUES ('somebody’s own', '{}')")

    report = compare(repair=True)

    assert (report.foreign, report.drifted, drifts_by_session(report)) == (1, 0, {"somebody’s own": [Drift.FOREIGN]})
    assert count_rows(session_file, "somebody’s own") == [1, 1, 0]


@BOTH_STORES
def test_missing_expired_session_is_marked_gone_and_not_rebuilt(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file, idle=OLD)
    emptied(session, session_file)

    assert compare(repair=True).found == {"missing": 1}

    session.refresh_from_db()
    assert (session.gone_at is not None, session.item_count, session.pruned_count) == (True, 0, 6)
    assert compare().found == {}


@BOTH_STORES
def test_missing_held_session_is_rebuilt_even_after_its_retention(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file, idle=OLD)
    lifecycle.hold_session(session.session_id, actor=BY, reason="the court")
    emptied(session, session_file)

    compare(repair=True)

    assert count_rows(session_file, session.session_id) == [6, 1, 1]


@BOTH_STORES
def test_leftover_turn_row_of_an_expired_session_is_removed(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    lifecycle.expire_session(session.session_id, actor=BY)
    sql(session_file, "INSERT INTO threadkeeper_turns VALUES (?, 3, 1, 0)", session.session_id)

    assert compare(repair=True).found == {"leftover": 1}
    assert count_rows(session_file, session.session_id) == [0, 0, 0]
    assert compare().found == {}


@BOTH_STORES
def test_a_hold_that_has_ended_is_no_drift(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    lifecycle.hold_session(session.session_id, actor=BY, reason="x", until=timezone.now() + timedelta(days=1))
    AgentSession.objects.update(held_until=timezone.now() - timedelta(days=9))

    assert compare().found == {}


@BOTH_STORES
@pytest.mark.parametrize("status", [Status.RUNNING, Status.WAITING])
def test_session_with_an_open_turn_is_not_repaired(status: Status, owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    create_turn(session, status)
    metadata(item_count=99)(session, session_file)
    before = rows(session, session_file)

    report = compare(repair=True)

    assert (report.busy, report.drifted, rows(session, session_file)) == (1, 0, before)
    session.refresh_from_db()
    assert session.item_count == 99


@BOTH_STORES
def test_pruned_items_and_items_older_than_the_journal_are_no_drift(owner: User, session_file: Path) -> None:
    pruned, imported = make_conversation(owner, session_file), make_conversation(owner, session_file)
    lifecycle.prune_session(pruned.session_id, actor=BY, limit=2)
    # Items older than the journal: the SDK's own class had written them before the first turn.
    sql(session_file, "UPDATE agent_messages SET id = id + 1000")
    sql(
        session_file,
        "INSERT INTO agent_messages (id, session_id, message_data) VALUES (1, ?, ?)",
        *(imported.session_id, json.dumps({"role": "user", "content": "long ago"})),
    )
    metadata(item_count=7)(imported, session_file)

    assert set(compare(repair=True).found) == {"counts", "altered"}, "the bytes of the imported items were not counted"
    assert count_rows(session_file, imported.session_id)[0] == 7, "no item is lost"
    assert compare().found == {}


@BOTH_STORES
def test_session_without_turns_is_repaired_and_not_rebuilt(owner: User, session_file: Path) -> None:
    session = make_conversation(owner, session_file)
    Turn.objects.all().delete()
    sql(session_file, "DELETE FROM threadkeeper_turns")
    sql(session_file, f"UPDATE agent_messages SET message_data = ? WHERE {NEWEST}", CALL)  # noqa: S608

    assert "unsound" in compare(repair=True).found

    assert count_rows(session_file, session.session_id)[0] == 5
    assert Quarantined.objects.get().session_id == session.session_id
    assert compare().found == {}


@BOTH_STORES
def test_metadata_rows_with_swapped_ids_are_both_repaired(owner: User, session_file: Path) -> None:
    one, other = make_conversation(owner, session_file), make_conversation(owner, session_file)
    metadata(session_id="x")(one, session_file)
    metadata(session_id=one.session_id)(other, session_file)
    metadata(session_id=other.session_id)(one, session_file)

    assert compare(repair=True).found == {"owner": 2}
    assert compare().found == {}


@BOTH_STORES
def test_all_findings_are_counted_and_only_the_first_are_listed(
    owner: User, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_admin.stores.reconcile.MAX_FINDINGS", 2)
    monkeypatch.setattr("sessions_admin.stores.reconcile.PAGE_SIZE", 2)
    for _ in range(3):
        make_conversation(owner, session_file)
    AgentSession.objects.update(item_count=1)
    progress = []

    report = reconcile(repair=False, actor=BY, on_progress=lambda *done: progress.append(done))

    assert (report.drifted, len(report.findings)) == (3, 2)
    assert progress == [(2, 6), (3, 6), (5, 6), (6, 6)]


def test_unusable_store_raises_memory_unavailable(owner: User, settings: Settings, tmp_path: Path) -> None:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "missing" / "agent_sessions.db"

    with pytest.raises(MemoryUnavailable):
        compare()


async def test_conversation_continues_after_its_session_is_repaired(offline_chat: Chat, settings: Settings) -> None:
    chat = offline_chat
    path = settings.AGENT_SESSION_DB_PATH = chat.session_file
    await chat.reply("Add a task to buy groceries for the party")
    await chat.reply("Add a task to call Ada")
    await chat.wait_until_idle()
    assert (await in_database(compare)).found == {}
    sql(path, "DELETE FROM agent_messages WHERE id IN (1, 2, 3)")

    assert "behind" in (await in_database(compare)).found
    await in_database(lambda: compare(repair=True))

    reply = await chat.reply("What was the first thing I asked you to do?")
    assert "buy groceries for the party" in reply
    await chat.wait_until_idle()
    assert (await in_database(compare)).found == {}
