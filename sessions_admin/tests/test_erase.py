"""An erasure leaves only held data and the audit of a person, and its report counts what is left."""

import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_q.models import Schedule
from django_q.models import Task as QueueTask
from django_q.tasks import async_task

from chat.accounts import tokens
from chat.accounts.mail import may_send
from chat.exceptions import Conflict, NotFound
from chat.memory.configured import opened
from chat.memory.removal import remove_for_good
from chat.models import (
    AdoptedItems,
    AgentSession,
    Conversation,
    FormerEmail,
    ModelUsage,
    Quarantined,
    Turn,
    User,
)
from chat.models.turn import Status
from chat.tasks.services import create_task
from chat.tests import stored_turns
from config.tests.support import PASSWORD
from sessions_admin.audit import user_actor
from sessions_admin.models import Action, AuditRecord, CleanedConversation, CleanupRun, Trigger
from sessions_admin.people import erase, personal_data
from sessions_admin.people.erase import erase_person
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.sessions.lifecycle import expire_session, hold_session, release_session
from sessions_admin.stores.checking import check
from sessions_admin.tests.conftest import (
    BOTH_STORES,
    MakeSession,
    MakeStaffClient,
    append_items,
    command_output,
    count_rows,
)

PEOPLE = "/admin/chat/user/"
Fill = Callable[[User], AgentSession]


@pytest.fixture
def fill(make_session: MakeSession, session_file: Path) -> Fill:
    """Create data of every kind for a person."""

    def create_data(person: User) -> AgentSession:
        for email in (f"{person.pk.hex}@old.example.com", person.email):
            User.objects.filter(pk=person.pk).update(email=email)
        make_session(person)
        run = CleanupRun.objects.get(pk=cleanup(trigger=Trigger.ADMIN, actor=person).run_id)
        session = make_session(person, title=f"A party of {person.email}")
        stored_turns.add_turn(session.conversation, "Buy the sekret cake", "Bought.", calls=2).steps.create(
            n=1, output=[], usage={}, duration_ms=1
        )
        stored_turns.add_turn(session.conversation, "And then", None, status=Status.QUEUED)
        CleanedConversation.objects.create(
            run=run, user=person, conversation_id=uuid.uuid4(), is_purged=True, messages=2, updated_at=timezone.now()
        )
        AdoptedItems.objects.create(conversation=session.conversation, after_turn=0, items='["sekret"]')
        Quarantined.objects.create(session_id=session.session_id, content="sekret", reason="holds no item")
        append_items(session_file, f"user_{person.pk}_conv_{uuid.uuid4()}", 3)  # a session without a conversation
        create_task(user_id=person.pk, title="Buy the sekret cake")
        ModelUsage.objects.create(
            user=person, day=timezone.now(), model="fast", responses=1, input_tokens=1, output_tokens=1
        )
        person.groups.add(Group.objects.create(name=f"friends of {person.pk.hex}"))
        person.user_permissions.add(Permission.objects.get(codename="view_agentsession"))
        for password in (PASSWORD, "wrong"):
            Client().post("/accounts/login/", {"username": person.email, "password": password})
        LogEntry.objects.log_actions(person.pk, [run], CHANGE, "looked", single_object=True)
        for about in (person, run):
            LogEntry.objects.log_actions(
                _superuser().pk, [about], CHANGE, f"wrote to {person.email}", single_object=True
            )
        LogEntry.objects.log_actions(_superuser().pk, [session], CHANGE, "held", single_object=True)
        AccessFailureLog.objects.create(username=person.email, ip_address="203.0.113.1")
        async_task("builtins.len", person.email, task_name="a letter")
        Schedule.objects.create(func="builtins.len", args=f"'{person.email}'")
        QueueTask.objects.create(
            id=uuid.uuid4().hex,
            func="builtins.len",
            args=(person.email,),
            started=timezone.now(),
            stopped=timezone.now(),
        )
        may_send("reset", person.email)
        tokens.make(user=person, name="script", scopes=["tasks"])
        return session

    return create_data


def _superuser() -> User:
    return User.objects.get_or_create(email="root@example.com", is_superuser=True, is_staff=True)[0]


def rows_about(person: User, email: str) -> dict[str, int]:
    """Count the rows of each table that contain the id or the email of a person."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(
                f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s OR t::text ILIKE %s',  # noqa: S608
                [f"%{person.pk}%", f"%{email}%"],
            )
            if count := cursor.fetchone()[0]:
                found[table] = count
    return found


def counted(person: User) -> list[personal_data.Count]:
    with opened() as store:
        return personal_data.count(personal_data.subject(person), store)


@BOTH_STORES
def test_only_the_audit_is_left(owner: User, outsider: User, fill: Fill, session_file: Path) -> None:
    fill(owner)
    fill(outsider)
    others, email = counted(outsider), owner.email
    missing = {count.kind for count in others if not count.there}
    assert missing == set()

    report = erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert rows_about(owner, email) == {"sessions_admin_auditrecord": 3}  # including the clean-up that they ran
    assert str(owner.pk).encode() not in b"".join(path.read_bytes() for path in session_file.parent.glob("*.db*"))
    assert counted(outsider) == others
    assert (report.left, report.held_conversations) == (0, 0)
    before = {line.kind: line.before for line in report.lines if line.before}
    assert (
        before | {"messages": 3, "turns": 2, "items": 7, "logins": 1, "tokens": 1, "tasks": 1, "tool calls": 2}
        == before
    )
    assert {line.after for line in report.lines} == {0}
    kept = {f"sessions_admin_auditrecord.{column}" for column in ("actor", "person")}
    # The group is named after the id.
    assert {each.place for each in report.remains} == {"auth_group.name", *kept}
    assert ([each.place for each in report.elsewhere], report.unsearched) == (["auth_group.name"], ())
    assert len(report.beyond_reach) >= 3
    assert check().is_sound


@BOTH_STORES
@pytest.mark.usefixtures("sqlite_without_secure_delete")
@pytest.mark.parametrize("items", [2, 300])
@pytest.mark.parametrize("before", ["remembered", "expired", "cleaned up", "unknown"])
def test_erased_content_is_unreadable_between_remaining_rows(
    owner: User, outsider: User, make_session: MakeSession, session_file: Path, before: str, items: int
) -> None:
    for _ in range(3):
        make_session(outsider, items=2, idle=timedelta(0))
        session = make_session(owner, items=items)
        if before == "expired":
            expire_session(session.session_id, actor="os:root")
        elif before == "unknown":  # a session without a conversation
            session.conversation.delete()
    if before == "cleaned up":
        cleanup(trigger=Trigger.COMMAND)

    erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert str(owner.pk).encode() not in b"".join(path.read_bytes() for path in session_file.parent.glob("*.db*"))


@BOTH_STORES
def test_person_with_a_similar_email_loses_nothing(owner: User, fill: Fill, session_file: Path) -> None:
    other = User.objects.create_user(f"the.{owner.email}", PASSWORD)
    fill(other)
    fill(owner)
    others = counted(other)

    erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert counted(other) == others


@BOTH_STORES
def test_data_of_former_emails_is_removed_unless_another_account_used_them(
    owner: User, outsider: User, session_file: Path
) -> None:
    User.objects.filter(pk=owner.pk).update(email="anna@example.com")
    for email in ("owner@example.com", "outsider@example.com"):  # used it for a while
        User.objects.filter(pk=outsider.pk).update(email=email)
    later = AccessAttempt.objects.create(username="owner@example.com", ip_address="203.0.113.1", failures_since_start=1)
    former = AccessLog.objects.create(username="Owner@example.com", ip_address="203.0.113.1")
    AccessLog.objects.filter(pk=former.pk).update(attempt_time=timezone.now() - timedelta(days=1))
    AccessLog.objects.create(username="anna@example.com", ip_address="203.0.113.1")
    stored_turns.add_turn(stored_turns.conversation(outsider), "Write to owner@example.com, now ANNA@example.com.")

    report = erase_person(owner.pk, actor="os:root", reason="owner@example.com asked: anna@example.com")

    assert list(AccessAttempt.objects.all()) == [later]
    assert not AccessLog.objects.exists()
    assert FormerEmail.objects.filter(user=outsider).count() == 2
    assert {each.place for each in report.elsewhere} >= {"chat_message.text", "axes_accessattempt.username"}
    assert "@" not in json.dumps([record.result | {"why": record.reason} for record in AuditRecord.objects.all()])
    assert "e-mail address" in AuditRecord.objects.latest("pk").reason


@BOTH_STORES
def test_held_conversation_stays_and_the_rest_is_removed(
    owner: User, fill: Fill, make_session: MakeSession, session_file: Path
) -> None:
    held = fill(owner)
    hold_session(held.session_id, actor="os:root", reason="a court asked")
    fresh = make_session(owner)

    report = erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert (report.left, report.held_conversations) == (0, 1)
    assert {line.kind for line in report.lines if line.held} == {
        "account", "former addresses", "conversations", "messages", "turns", "model responses", "tool calls",
        "sessions' metadata", "quarantined rows", "sessions", "items", "items of other programs",
    }  # fmt: skip
    assert count_rows(session_file, held.session_id)[0] == 4
    assert count_rows(session_file, fresh.session_id) == [0, 0, 0]
    assert Conversation.objects.get().title.startswith("A party")
    owner.refresh_from_db()
    assert (owner.email, owner.is_active, owner.has_usable_password()) == ("owner@example.com", False, False)

    release_session(held.session_id, actor="os:root")
    assert erase_person(owner.pk, actor="os:root", reason="released").held_conversations == 0
    assert not User.objects.filter(pk=owner.pk).exists()
    assert set(rows_about(owner, owner.email)) == {"sessions_admin_auditrecord"}


@BOTH_STORES
def test_interrupted_erasure_is_finished_by_the_next(
    owner: User, make_session: MakeSession, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [make_session(owner) for _ in range(3)]
    monkeypatch.setattr(erase, "BATCH", 1)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        erase_person(owner.pk, actor="os:root", reason="asked for it", on_progress=interrupt)
    assert Conversation.objects.count() == 2
    owner.refresh_from_db()
    assert not owner.is_active

    report = erase_person(owner.pk, actor="os:root", reason="asked for it")

    before = {line.kind: line.before for line in report.lines}
    assert (report.left, before["conversations"], before["items"]) == (0, 3, 12)  # of both attempts
    assert [count_rows(session_file, session.session_id) for session in sessions] == [[0, 0, 0]] * 3
    assert not User.objects.filter(pk=owner.pk).exists()


def test_interruption_between_the_stores_keeps_the_session_metadata(
    owner: User, make_session: MakeSession, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = make_session(owner)

    def interrupt(*args: Any, **kwargs: Any) -> None:
        remove_for_good(*args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(erase, "remove_for_good", interrupt)
        erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert count_rows(session_file, session.session_id) == [0, 0, 0]
    assert AgentSession.objects.get().session_id == session.session_id
    assert erase_person(owner.pk, actor="os:root", reason="asked for it").left == 0


@BOTH_STORES
def test_turn_that_does_not_stop_blocks_the_erasure(
    owner: User, monkeypatch: pytest.MonkeyPatch, session_file: Path
) -> None:
    running = stored_turns.add_turn(stored_turns.conversation(owner), "Slowly", None, status=Status.RUNNING)
    monkeypatch.setattr(erase, "TURN_TIMEOUT", timedelta(0))

    with pytest.raises(Conflict, match="still running"):
        erase_person(owner.pk, actor="os:root", reason="asked for it")
    assert Turn.objects.get().stop_asked
    assert Conversation.objects.count() == 1

    Turn.objects.filter(pk=running.pk).update(lease_until=timezone.now())  # its process has ended
    assert erase_person(owner.pk, actor="os:root", reason="asked for it").left == 0


@BOTH_STORES
def test_data_added_during_the_erasure_is_a_conflict(owner: User, session_file: Path) -> None:
    with connection.cursor() as cursor:  # a sign-in at the last moment
        cursor.execute(
            "CREATE FUNCTION sign_in() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO axes_accesslog (user_agent, username, http_accept, path_info, attempt_time, session_hash)"
            " VALUES ('', OLD.email, '', '', now(), ''); RETURN OLD; END $$;"
            "CREATE TRIGGER sign_in AFTER DELETE ON chat_user FOR EACH ROW EXECUTE FUNCTION sign_in()"
        )

    with pytest.raises(Conflict, match="added meanwhile .sign-ins."):
        erase_person(owner.pk, actor="os:root", reason="asked for it")

    assert User.objects.filter(pk=owner.pk).exists()
    assert erase.newest_report(owner.pk) is None


def test_report_records_its_actor_and_contains_no_email(owner: User, staff: User, fill: Fill) -> None:
    fill(owner)

    report = erase_person(owner.pk, actor=user_actor(staff), reason="asked for it")

    began, ended = AuditRecord.objects.filter(action=Action.ERASE).order_by("pk")
    assert (began.actor, ended.actor, ended.reason) == (str(staff.pk), str(staff.pk), "asked for it")
    assert began.result["began"]
    assert erase.newest_report(owner.pk) == report
    assert owner.email not in json.dumps(report.as_json())


@BOTH_STORES
def test_only_administrators_erase_administrators_and_the_last_stays(
    staff: User, owner: User, session_file: Path
) -> None:
    with pytest.raises(Conflict, match="Only an administrator"):
        erase_person(staff.pk, actor=user_actor(owner), reason="why not")
    with pytest.raises(Conflict, match="the only administrator"):
        erase_person(staff.pk, actor="os:root", reason="why not")
    staff.refresh_from_db()
    assert staff.is_active
    assert ["failed" in record.result for record in AuditRecord.objects.all()] == [True, True]


@BOTH_STORES
@pytest.mark.django_db(transaction=True)
def test_concurrent_erasures_succeed(owner: User, session_file: Path) -> None:
    barrier = threading.Barrier(2)

    def erase(_: int) -> bool:
        try:
            connection.ensure_connection()
            barrier.wait(30)
            erase_person(owner.pk, actor="os:root", reason="a request")
        except NotFound:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert True in list(pool.map(erase, range(2)))
    assert not User.objects.exists()


# The command.


@BOTH_STORES
def test_dry_run_removes_nothing(owner: User, fill: Fill, session_file: Path) -> None:
    fill(owner)
    before = counted(owner)

    report = json.loads(command_output("erase_user", owner.email, "--dry-run", "--json"))

    assert report["dry_run"]
    assert report["left"] == sum(count.there for count in before) > 20
    assert counted(owner) == before
    assert not AuditRecord.objects.filter(action=Action.ERASE).exists()


@BOTH_STORES
def test_command_asks_for_the_email_first(owner: User, session_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in ("no\n", ""):
        monkeypatch.setattr("sys.stdin", StringIO(answer))
        with pytest.raises(CommandError):
            command_output("erase_user", owner.email)
    assert User.objects.count() == 1

    monkeypatch.setattr("sys.stdin", StringIO(f"{owner.email}\n"))
    assert "Only the audit is left." in command_output("erase_user", owner.email)
    assert not User.objects.exists()
    with pytest.raises(CommandError, match="No user has the e-mail address or the id"):
        command_output("erase_user", owner.email, "--yes")


@BOTH_STORES
def test_command_accepts_a_user_id(owner: User, session_file: Path) -> None:
    command_output("erase_user", str(owner.pk), "--yes")
    assert not User.objects.exists()


# The admin.


def press(client: Client, *people: User, **more: str) -> str:
    chosen = {"_selected_action": [str(person.pk) for person in people]}
    return client.post(PEOPLE, {"action": "erase", **chosen, **more}, follow=True).content.decode()


def test_staff_confirm_with_the_email_and_get_a_report(
    make_staff_client: MakeStaffClient, owner: User, fill: Fill, staff: User
) -> None:
    fill(owner)
    helper, email = make_staff_client("erase_user"), owner.email

    assert "permanently removed from both stores" in press(helper, owner)
    for typed in ({}, {"email": "other@example.com"}, {"email": email, "reason": " "}):
        press(helper, owner, **{"confirmed": "yes", "reason": "asked for it", **typed})
    page = press(helper, owner, confirmed="yes", reason="asked for it", email="other@example.com")
    assert "The e-mail address does not match." in page and ">asked for it</textarea>" in page
    assert "Choose at most 1 user." in press(helper, owner, staff, confirmed="yes", reason="x", email=email)
    assert User.objects.filter(pk=owner.pk).exists()

    page = press(helper, owner, confirmed="yes", reason="asked for it", email=f" {email.upper()}")

    assert "Nothing is left except the audit" in page
    assert str(owner.pk) in page
    assert email not in page
    assert not User.objects.filter(pk=owner.pk).exists()


@BOTH_STORES
def test_staff_cannot_erase_their_own_account_in_the_admin(
    staff: User, staff_client: Client, session_file: Path
) -> None:
    User.objects.create_superuser("second@example.com")
    page = press(staff_client, staff, confirmed="yes", reason="bye", email=staff.email)
    assert "Your own account can be deleted on the page" in page
    assert User.objects.filter(pk=staff.pk).exists()


def test_delete_view_of_django_is_disabled(staff_client: Client, owner: User) -> None:
    assert staff_client.post(f"{PEOPLE}{owner.pk}/delete/", {"post": "yes"}).status_code == 403
    page = staff_client.get(f"{PEOPLE}{owner.pk}/change/").content.decode()
    assert f"{PEOPLE}{owner.pk}/do/erase/" in page
