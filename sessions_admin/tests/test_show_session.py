"""The command that shows a session; it shows the items only with a reason and records that in the audit."""

import getpass
import json
from pathlib import Path

import pytest
from django.core.management import CommandError

from chat.memory.statements import Fence
from chat.memory.sync_file import opened
from chat.models import AgentSession, Quarantined, User
from chat.models.turn import Status
from sessions_admin.models import Action, AuditRecord
from sessions_admin.sessions.inspection import NEXT_MEMORY_TEXTS, NextMemory
from sessions_admin.tests.conftest import MakeSession, command_output, create_turn

USER_ITEM = {"role": "user", "content": "Hello"}


@pytest.fixture
def session(make_session: MakeSession, owner: User) -> AgentSession:
    return make_session(owner, title="Summer party")


def test_metadata_is_shown_without_items(session: AgentSession) -> None:
    text = command_output("show_session", session.session_id)

    assert "email: owner@example.com" in text
    assert "state: due" in text
    assert "items: 4" in text
    assert "message 1" not in text
    assert "held at" not in text  # empty fields are left out
    assert json.loads(command_output("show_session", session.session_id, "--json"))["title"] == "Summer party"
    assert not AuditRecord.objects.exists()


def test_items_are_shown_with_a_reason_and_audited(session: AgentSession) -> None:
    text = command_output("show_session", session.session_id, "--items", "--reason", "She asked")

    assert "   2  user: message 1 of the party – café" in text
    record = AuditRecord.objects.get()
    assert (record.action, record.actor, record.reason) == (Action.INSPECT, f"os:{getpass.getuser()}", "She asked")
    found = json.loads(command_output("show_session", session.session_id, "--items", "--reason", "She asked", "--json"))
    assert found["inspection"]["memory"]["stored"][3]["text"] == "message 3 of the party – café"
    assert AuditRecord.objects.count() == 2


def test_calls_are_shown_with_outputs_and_invalid_items_are_marked(session: AgentSession, session_file: Path) -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "list_tasks", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "No tasks."}
    with opened(session_file) as file:
        file.replace(session.session_id, [USER_ITEM, call, output, output | {"call_id": "c2"}], Fence(1, 1))
    Quarantined.objects.create(session_id=session.session_id, row_id=7, content="{", reason="holds no item")
    create_turn(session, Status.RUNNING)

    text = command_output("show_session", session.session_id, "--items", "--reason", "She asked")

    heading, items = text.split(NEXT_MEMORY_TEXTS[NextMemory.AT_WORK])
    assert "The metadata has 4 items" in heading
    assert [line.strip() for line in items.splitlines() if line] == [
        "1  user: Hello",
        "2  call list_tasks: {}",
        "3  its output: No tasks.",
        "4  output: No tasks. [invalid: answers no open call]",
        "In quarantine, row 7, holds no item: {",
    ]


def test_missing_reason_or_session_is_reported(session: AgentSession) -> None:
    with pytest.raises(CommandError, match="requires a reason"):
        command_output("show_session", session.session_id, "--items")
    with pytest.raises(CommandError, match="There is no session x"):
        command_output("show_session", "x")
    assert not AuditRecord.objects.exists()
