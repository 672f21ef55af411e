"""The management commands for sessions."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.core.management.base import SystemCheckError
from pytest_django import Settings

from chat.models import AgentSession, User
from config.tests.support import LiveDatabase, run
from sessions_admin.management.shell import duration
from sessions_admin.models import AuditRecord, CleanupRun, RunStatus, Trigger
from sessions_admin.tests.conftest import MakeSession


def output(*arguments: str) -> str:
    """Run a command and return what it prints."""
    printed, progress = StringIO(), StringIO()
    call_command(*arguments, stdout=printed, stderr=progress)
    assert progress.getvalue() == ""
    return printed.getvalue()


class Terminal(StringIO):
    """A stream that reports to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_cleanup_sessions_removes_sessions_and_prints_counts(make_session: MakeSession, owner: User) -> None:
    make_session(owner)
    make_session(owner, idle=timedelta(days=1))
    AgentSession.objects.update(byte_count=0)

    assert output("cleanup_sessions").startswith("Removed 1 session: 4 items, ")
    run = CleanupRun.objects.get()
    assert (run.trigger, run.status, run.removed_sessions) == (Trigger.COMMAND, RunStatus.DONE, 1)


def test_dry_run_prints_what_would_be_removed(make_session: MakeSession, owner: User) -> None:
    make_session(owner)
    make_session(owner)

    assert output("cleanup_sessions", "--dry-run").startswith("Would remove 2 sessions: 8 items, ")
    assert AgentSession.objects.filter(gone_at=None).count() == 2


def test_older_than_sets_the_age(make_session: MakeSession, owner: User) -> None:
    make_session(owner, idle=timedelta(hours=13))

    assert output("cleanup_sessions", "--older-than", "14h").startswith("Removed 0 sessions")
    assert output("cleanup_sessions", "--older-than", "12h").startswith("Removed 1 session:")


def test_cleanup_sessions_prints_json(make_session: MakeSession, owner: User) -> None:
    make_session(owner)

    report = json.loads(output("cleanup_sessions", "--json"))

    run = CleanupRun.objects.get()
    assert report.pop("seconds") >= 0
    assert run.cutoff
    assert report == {
        "run_id": str(run.pk),
        "status": "done",
        "dry_run": False,
        "cutoff": run.cutoff.isoformat(),
        "total": 1,
        "examined": 1,
        "held": 0,
        "sessions": 1,
        "items": 4,
        "bytes": run.removed_bytes,
        "freed_bytes": run.freed_bytes,
        "trashed": 0,
        "purged": 0,
        "error": "",
        "by_user": [
            {
                "user_id": str(owner.pk),
                "email": "owner@example.com",
                "sessions": 1,
                "items": 4,
                "bytes": run.removed_bytes,
            }
        ],
    }


def test_progress_bar_is_drawn_on_a_terminal(make_session: MakeSession, owner: User) -> None:
    make_session(owner)
    terminal = Terminal()

    call_command("cleanup_sessions", stdout=StringIO(), stderr=terminal)

    assert terminal.getvalue() == f"\r[{'#' * 30}] 1 of 1\n"


@pytest.mark.service
def test_insecure_settings_stop_a_command(settings: Settings) -> None:
    settings.SECRET_KEY = "a" * 50
    with pytest.raises(SystemCheckError, match="SECRET_KEY can be guessed"):
        call_command("list_sessions", skip_checks=False)


def test_failed_command_exits_with_1(live_database: LiveDatabase, tmp_path: Path) -> None:
    env = {"DATABASE_URL": live_database.url, "DATA_DIR": str(tmp_path)}

    failed = run("manage.py", "cleanup_sessions", **env, AGENT_SESSION_DB_PATH=str(tmp_path / "missing" / "file.db"))
    done = run("manage.py", "cleanup_sessions", **env)

    assert (failed.returncode, done.returncode) == (1, 0)
    assert "CommandError: The session store cannot be used" in failed.stderr
    assert done.stdout.startswith("Removed 0 sessions")


def test_invalid_arguments_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    command = load_command_class("sessions_admin", "cleanup_sessions")
    with pytest.raises(SystemExit) as exit_info:
        command.run_from_argv(["manage.py", "cleanup_sessions", "--json", "--older-than=soon"])

    printed = capsys.readouterr()
    detail = "argument --older-than: “soon” is not a duration such as 7d or 12h."
    assert json.loads(printed.out) == {"error": {"code": "bad_input", "detail": detail}}
    assert (exit_info.value.code, detail in printed.err) == (2, True)


# list_sessions


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], ["Old", "Quiet", "Theirs", "New"]),
        (["--state", "due"], ["Old"]),
        (["--state", "active"], ["Theirs", "New"]),
        (["--user", "Outsider@example.com"], ["Theirs"]),
        (["--inactive-for", "2d"], ["Old", "Quiet"]),
        (["--inactive-for", "2d", "--state", "idle"], ["Quiet"]),
        (["--user", "nobody@example.com"], []),
    ],
)
def test_list_sessions_filters_by_state_user_and_age(
    make_session: MakeSession, owner: User, outsider: User, arguments: list[str], found: list[str]
) -> None:
    make_session(owner, title="New", idle=timedelta(0))
    make_session(owner, title="Quiet", idle=timedelta(days=3))
    make_session(owner, title="Old", idle=timedelta(days=9))
    make_session(outsider, title="Theirs", idle=timedelta(hours=2))

    listed = json.loads(output("list_sessions", "--json", *arguments))

    assert [session["title"] for session in listed] == found
    assert len(output("list_sessions", *arguments).splitlines()) == len(found)


def test_list_sessions_prints_the_metadata_of_a_session(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)

    assert output("list_sessions").split() == [
        "due",
        "4",
        str(session.byte_count),
        *f"{session.last_activity_at:%Y-%m-%d %H:%M}".split(),
        session.session_id,
        "owner@example.com",
    ]


# Durations.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        (" 2W ", timedelta(weeks=2)),
    ],
)
def test_duration_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-1d", "1.5h", "7 d", "7y", "1٧d", "999999d"])
def test_invalid_duration_is_rejected_with_an_example(text: str) -> None:
    with pytest.raises(CommandError, match="is not a duration such as 7d or 12h"):
        call_command("cleanup_sessions", f"--older-than={text}")


def test_commands_hold_and_release_a_session(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)

    held = json.loads(output("hold_session", session.session_id, "--reason", "asked for", "--for", "7d", "--json"))
    assert (held["session_id"], held["action"], held["items"]) == (session.session_id, "hold", 4)
    assert output("cleanup_sessions").startswith("Removed 0 sessions")
    assert output("release_session", session.session_id).startswith("Released user_")
    assert json.loads(output("release_session", session.session_id, "--json"))["items"] == 4, (
        "a second release fails or changes items"
    )
    assert output("cleanup_sessions").startswith("Removed 1 session:")
    actions = list(AuditRecord.objects.values_list("action", flat=True))
    assert actions == ["cleanup", "release", "release", "cleanup", "hold"]
    assert {record.actor.partition(":")[0] for record in AuditRecord.objects.all()} == {"os"}


@pytest.mark.parametrize("command", ["clear_session", "rebuild_session"])
def test_commands_clear_and_rebuild_a_session(make_session: MakeSession, owner: User, command: str) -> None:
    session = make_session(owner)

    assert output(command, session.session_id).endswith("4 items before, 0 now.\n")
    assert AuditRecord.objects.get().action == command.removesuffix("_session")


@pytest.mark.parametrize("command", ["clear_session", "rebuild_session", "release_session"])
def test_unknown_session_raises_command_error(make_session: MakeSession, command: str) -> None:
    with pytest.raises(CommandError, match="There is no session user_x"):
        output(command, "user_x")


def test_prune_sessions_prunes_all_sessions_over_their_limit(
    make_session: MakeSession, owner: User, settings: Settings
) -> None:
    long, short = make_session(owner, items=9), make_session(owner, items=3)
    settings.AGENT_SESSION_MAX_MESSAGES = 5

    assert output("prune_sessions", "--dry-run") == f"{long.session_id}\n"
    assert output("prune_sessions") == f"Pruned {long.session_id}: 9 items before, 5 now.\n"
    assert output("prune_sessions", "--dry-run") == "No session exceeds its limit.\n"
    assert json.loads(output("prune_sessions", short.session_id, "--json"))[0]["items"] == 3
    for options in ([], ["--dry-run"]):
        with pytest.raises(CommandError, match="There is no session user_x"):
            output("prune_sessions", "user_x", *options)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("show_session user_x", "not_found"),
        ("release_session user_x", "not_found"),
        ("prune_sessions user_x --dry-run", "failed"),
        ("erase_user nobody@example.com", "not_found"),
        ("hold_session user_x", "bad_input"),
    ],
)
def test_failure_is_printed_as_json(db: None, session_file: Path, command: str, code: str) -> None:
    printed = StringIO()
    with pytest.raises(CommandError) as failed:
        call_command(*command.split(), "--json", stdout=printed)
    assert json.loads(printed.getvalue()) == {"error": {"code": code, "detail": str(failed.value)}}
