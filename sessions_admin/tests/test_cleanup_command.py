"""The output of `cleanup_sessions`, and how signals stop it."""

import json
import os
import signal
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from chat.models import User
from sessions_admin.models import Action, AuditRecord, CleanupRun, RunStatus
from sessions_admin.sessions.lifecycle import hold_session
from sessions_admin.tests.conftest import MakeSession, command_output


def test_by_user_lists_users_by_removed_items(make_session: MakeSession, owner: User, outsider: User) -> None:
    for user, items in ((owner, 2), (outsider, 9), (owner, 3)):
        make_session(user, items=items)

    lines = [line.split() for line in command_output("cleanup_sessions", "--dry-run", "--by-user").splitlines()[-2:]]
    report = json.loads(command_output("cleanup_sessions", "--json"))

    assert [(line[0], line[1], line[-1]) for line in lines] == [
        ("1", "9", "outsider@example.com"),
        ("2", "5", "owner@example.com"),
    ]
    assert [(line["email"], line["items"]) for line in report["by_user"]] == [
        ("outsider@example.com", 9),
        ("owner@example.com", 5),
    ]
    assert sum(line["bytes"] for line in report["by_user"]) == report["bytes"]


def test_due_sessions_on_hold_are_counted(make_session: MakeSession, owner: User) -> None:
    make_session(owner)
    hold_session(make_session(owner).session_id, actor="os:tester", reason="a court asked")
    hold_session(make_session(owner, idle=timedelta(days=1)).session_id, actor="os:tester", reason="not due yet")

    assert json.loads(command_output("cleanup_sessions", "--dry-run", "--json"))["held"] == 1
    assert "Skipped 1 session on hold." in command_output("cleanup_sessions")
    log = [sentence for _, sentence in CleanupRun.objects.latest("created_at").log]
    assert "1 session chosen; 1 on hold skipped." in log


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_the_run_after_the_current_batch(
    make_session: MakeSession, owner: User, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    monkeypatch.setattr("sessions_admin.retention.cleanup.BATCH", 1)
    for _ in range(3):
        make_session(owner)
    before = signal.getsignal(number)

    class Terminal(StringIO):
        """Sends the signal when progress is first reported."""

        def isatty(self) -> bool:
            os.kill(os.getpid(), number)
            return False

    out = StringIO()
    with pytest.raises(SystemExit) as exit_info:
        call_command("cleanup_sessions", stdout=out, stderr=Terminal())

    assert exit_info.value.code == code
    assert out.getvalue().startswith("Stopped after 1 of 3.\nRemoved 1 session: 4 items, ")
    assert CleanupRun.objects.get().status == RunStatus.STOPPED
    assert AuditRecord.objects.filter(action=Action.STOP).count() == 1
    assert signal.getsignal(number) == before
