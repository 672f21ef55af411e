"""An export contains all data of one user and no data of others, in a file that only its owner can read."""

import json
import stat
import tracemalloc
import uuid
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from axes.models import AccessLog
from django.core.management import CommandError
from django.test import Client

from chat.accounts import tokens
from chat.exceptions import BadInput, Conflict, RateLimited
from chat.models import AgentSession, Conversation, Message, Quarantined, Task, TaskCounter, User
from chat.models.conversation import Role
from chat.models.sql import change
from chat.tests import stored_turns
from sessions_admin.audit import staff_accesses, user_actor
from sessions_admin.models import AuditRecord
from sessions_admin.people import export
from sessions_admin.people.export import export_person
from sessions_admin.sessions.lifecycle import hold_session
from sessions_admin.stores.files import new_file
from sessions_admin.tests.conftest import MakeSession, MakeStaffClient, append_items, command_output

PEOPLE = "/admin/chat/user/"


@pytest.fixture
def party(make_session: MakeSession, owner: User, session_file: Path) -> AgentSession:
    """A conversation with an earlier version and tool calls, a task, and other data of the owner."""
    session = make_session(owner, title="Party: cake/drinks")
    first = stored_turns.add_turn(session.conversation, "Buy a cake – café", "Bought.", calls=1)
    stored_turns.add_turn(session.conversation, "", "Bought anew.", retry_of=first)
    Message.objects.filter(turn=first, role=Role.ASSISTANT).update(position=None)
    Task.objects.create(user=owner, number=TaskCounter.take(owner.pk), title="Buy a cake")
    Quarantined.objects.create(session_id=session.session_id, content="a broken row", reason="holds no item")
    append_items(session_file, f"user_{owner.pk}_conv_{uuid.uuid4()}", 2)
    hold_session(session.session_id, actor="os:root", reason="a secret of staff")
    return session


def exported(person: User, **options: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Export a user's data; return the JSON document, and the text files by name."""
    file = BytesIO()
    export_person(person.pk, to=file, **{"actor": user_actor(person), **options})
    with ZipFile(file) as archive:
        assert archive.testzip() is None
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    return json.loads(texts.pop(export.DOCUMENT)), texts


def test_second_export_of_a_user_is_refused_while_one_runs(owner: User, outsider: User, party: AgentSession) -> None:
    refused: list[str] = []

    def export_again(done: int, total: int) -> None:
        exported(outsider)
        with pytest.raises(RateLimited) as error:
            exported(owner)
        refused.append(error.value.detail)

    exported(owner, on_progress=export_again)
    assert refused == ["Another export of this data is running; please wait until it has finished."]
    exported(owner)


def test_export_contains_all_data_of_the_user(owner: User, party: AgentSession) -> None:
    created = tokens.make(user=owner, name="My script", scopes=["tasks"])
    document, texts = exported(owner)

    assert [token["name"] for token in document["tokens"]] == ["My script"]
    assert created.key not in str(document) and created.token.hash not in str(document)
    assert (document["account"]["email"], document["account"]["id"]) == (owner.email, str(owner.pk))
    assert [task["title"] for task in document["tasks"]] == ["Buy a cake"]
    (conversation,) = document["conversations"]
    stored_messages = [(m["text"], m["position"]) for turn in conversation["turns"] for m in turn["messages"]]
    assert stored_messages == [("Buy a cake – café", 1), ("Bought.", None), ("Bought anew.", 3)]
    assert conversation["turns"][0]["tool_calls"][0]["arguments"] == {"title": "Buy a cake – café"}
    assert conversation["session"]["session_id"] == party.session_id
    assert [item["content"] for item in conversation["session"]["items"]][:1] == ["message 0 of the party – café"]
    assert conversation["session"]["held_at"]
    assert len(document["memory_without_conversation"][0]["items"]) == 2
    assert document["quarantined"][0]["content"] == "a broken row"
    assert [audited["action"] for audited in document["what_was_done_to_your_data"]] == ["hold"]
    name = next(name for name in texts if name.startswith("conversations/"))
    assert name.endswith("Party cakedrinks 1.md")
    assert "**You**" in texts[name]
    assert "Bought anew." in texts[name]
    assert "Bought.\n" not in texts[name]


def test_export_contains_former_email_addresses_and_their_sign_ins(owner: User, session_file: Path) -> None:
    AccessLog.objects.create(username="OWNER@example.com", ip_address="203.0.113.1")
    User.objects.filter(pk=owner.pk).update(email="anna@example.com")

    document, _ = exported(owner)

    assert [former["email"] for former in document["former_addresses"]] == ["owner@example.com"]
    assert [sign_in["ip_address"] for sign_in in document["sign_ins"]] == ["203.0.113.1"]


def test_reason_of_a_legal_hold_is_not_exported(owner: User, party: AgentSession) -> None:
    document, texts = exported(owner)
    assert "a secret of staff" not in json.dumps(document) + str(texts)


def test_data_of_other_users_is_not_exported(owner: User, outsider: User, make_session: MakeSession) -> None:
    stored_turns.add_turn(make_session(outsider, title="Zanzibar").conversation, "Fly to Zanzibar")
    Task.objects.create(user=outsider, number=1, title="Zanzibar")
    make_session(owner)

    document, texts = exported(owner)

    assert "Zanzibar" not in json.dumps(document) + str(texts)
    assert str(outsider.pk) not in json.dumps(document)


def test_page_size_does_not_change_the_export(
    owner: User, party: AgentSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        stored_turns.add_turn(party.conversation, f"And {n}")
        stored_turns.add_turn(stored_turns.conversation(owner, f"Chat {n}"), "Hello")
    at_once = exported(owner)
    monkeypatch.setattr(export, "PAGE_SIZE", 1)

    paged = exported(owner)

    at_once[0].pop("made_at"), paged[0].pop("made_at")
    at_once[1].pop("README.txt"), paged[1].pop("README.txt")
    assert paged == at_once
    assert len(paged[0]["conversations"]) == 6


ADD_LONG_CONVERSATION = """
WITH turns AS (
    INSERT INTO chat_turn (id, conversation_id, user_id, prompt_id, client_id, seq, status, attempt, text, items,
        warning, error_code, error_detail, accepted_at, ended_at)
    SELECT gen_random_uuid(), %(talk)s, %(user)s, gen_random_uuid(), gen_random_uuid(), n, 'done', 1, '', '[]',
        '', '', '', now(), now() FROM generate_series(1, 1500) n RETURNING id, prompt_id, seq
)
INSERT INTO chat_message (id, conversation_id, turn_id, role, text, position, created_at)
SELECT prompt_id, %(talk)s, id, 'user', repeat(md5(seq::text), 50), 2 * seq - 1, now() FROM turns UNION ALL
SELECT gen_random_uuid(), %(talk)s, id, 'assistant', repeat(md5(id::text), 50), 2 * seq, now() FROM turns
"""


@pytest.mark.long
def test_export_of_a_long_conversation_uses_bounded_memory(owner: User, session_file: Path) -> None:
    change(ADD_LONG_CONVERSATION, {"talk": stored_turns.conversation(owner).pk, "user": owner.pk})

    with new_file(session_file.with_name("out.zip"), force=False) as file:
        tracemalloc.start()
        done = export_person(owner.pk, to=file, actor=user_actor(owner))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert done.messages == 3_000  # 5 MB of text
    assert peak < 2_500_000


# Permissions and audit records.


def test_export_by_staff_is_audited_and_own_export_is_not(owner: User, staff: User, session_file: Path) -> None:
    exported(owner)
    assert not AuditRecord.objects.exists()

    document, _ = exported(owner, actor=user_actor(staff), reason="asked for by post")

    (access,) = staff_accesses(owner.pk)
    assert (access.was_export, access.reason) == (True, "asked for by post")
    assert AuditRecord.objects.get().actor == str(staff.pk)
    with pytest.raises(BadInput):
        exported(owner, actor=user_actor(staff), reason=" ")
    with pytest.raises(Conflict):
        exported(staff, actor=user_actor(owner), reason="curious")
    failed, done = AuditRecord.objects.order_by("person", "pk").filter(person=str(staff.pk)), staff_accesses(owner.pk)
    assert (["failed" in record.result for record in failed], len(done)) == ([True], 1)


def test_staff_with_export_permission_can_download_the_file(
    make_staff_client: MakeStaffClient, owner: User, party: AgentSession
) -> None:
    form = {"action": "export", "_selected_action": str(owner.pk), "confirmed": "yes", "reason": "asked for by post"}
    staff_client = make_staff_client("export_user")

    assert "You download a file" in staff_client.get(f"{PEOPLE}{owner.pk}/do/export/").content.decode()
    response = staff_client.post(PEOPLE, form)

    assert response["Content-Disposition"].startswith('attachment; filename="threadkeeper owner ')
    with ZipFile(BytesIO(b"".join(response.streaming_content))) as archive:  # type: ignore[attr-defined]
        assert b"Bought anew." in archive.read(export.DOCUMENT)
    assert AuditRecord.objects.filter(action="export", person=owner.pk).count() == 1


# The command.


def test_command_writes_a_file_that_only_its_owner_can_read(owner: User, party: AgentSession, tmp_path: Path) -> None:
    path = tmp_path / "owner.zip"

    assert json.loads(command_output("export_user", owner.email, path, "--json"))["messages"] == 3

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ZipFile(path).testzip() is None
    assert AuditRecord.objects.get(action="export").actor.startswith("os:")


def test_command_overwrites_an_existing_file_only_with_force(owner: User, session_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "owner.zip"
    path.write_text("something else")

    with pytest.raises(CommandError, match="exists; --force"):
        command_output("export_user", owner.email, path)
    with pytest.raises(CommandError, match="No user has the e-mail address or the id"):
        command_output("export_user", "nobody@example.com", path, "--force")
    assert path.read_text() == "something else"
    assert not AuditRecord.objects.exists()

    command_output("export_user", owner.email, path, "--force")
    assert ZipFile(path).testzip() is None
    assert [leftover.name for leftover in tmp_path.iterdir() if leftover.name.startswith(".")] == []


def test_interrupted_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "out.zip", force=False) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_empty_account_can_be_exported(owner: User, owner_client: Client, session_file: Path) -> None:
    document, texts = exported(owner)
    assert (document["conversations"], list(texts)) == ([], ["README.txt"])
    assert not Conversation.objects.exists()
