import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from sessions_admin import clock
from sessions_admin.audit import of_shell
from sessions_admin.management.interruption import interruption
from sessions_admin.management.shell import ShellCommand, duration
from sessions_admin.models import RunStatus, Trigger
from sessions_admin.retention import runs
from sessions_admin.retention.cleanup import CleanupReport, cleanup
from sessions_admin.retention.run_results import PersonLine, by_person

LINE = "{sessions:>8,}  {items:>10,}  {size:>12}  {email}"


class Command(ShellCommand):
    help = (
        "Remove sessions that have been inactive for too long, as the worker does every day. Ctrl-C stops it in order."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="remove nothing, say what would be removed")
        parser.add_argument("--older-than", type=duration, metavar="7d", help="instead of AGENT_SESSION_RETENTION_DAYS")
        parser.add_argument(
            "--confirm-clock", action="store_true", help="trust the clock, where it jumped or is behind the newest row"
        )
        parser.add_argument("--by-user", action="store_true", help="say of each person how much, the most first")
        parser.add_argument("--json", action="store_true", help="print the report for programs, by user too")

    def handle(self, *args: Any, **options: Any) -> None:
        how = {"dry_run": options["dry_run"], "older_than": options["older_than"]}
        if options["confirm_clock"]:
            clock.confirm(actor=of_shell())
        with self.failures_told(), interruption() as told:
            report = cleanup(
                trigger=Trigger.COMMAND, on_progress=self.print_progress, told_to_stop=told.is_there, **how
            )
        if options["json"]:
            people = [line.as_json() for line in _by_person(report)]
            self.print_json(report.as_json() | {"by_user": people})
        else:
            self._tell(report, by_user=options["by_user"])
        if report.status == RunStatus.STOPPED:
            sys.exit(told.exit_code or 1)

    def _tell(self, report: CleanupReport, *, by_user: bool) -> None:
        if report.status == RunStatus.STOPPED:
            self.stdout.write(f"Stopped after {report.examined:,} of {report.total or 0:,}.")
        verb = "Would remove" if report.dry_run else "Removed"
        self.stdout.write(
            f"{verb} {_sessions(report.sessions)}: {report.items:,} items, {filesizeformat(report.bytes)}."
        )
        if report.trashed or report.purged:
            moved, deleted = ("Would move", "delete") if report.dry_run else ("Moved", "deleted")
            told = f"{moved} {_conversations(report.trashed)} to the trash, {deleted} {report.purged:,} for good."
            self.stdout.write(told)
        if report.held:
            self.stdout.write(f"Left {_sessions(report.held)} because held.")
        if report.freed_bytes:
            self.stdout.write(f"Gave {filesizeformat(report.freed_bytes)} back to the disk.")
        for line in _by_person(report) if by_user else ():
            self.stdout.write(
                LINE.format(sessions=line.sessions, items=line.items, size=filesizeformat(line.bytes), email=line.email)
            )


def _by_person(report: CleanupReport) -> Iterator[PersonLine]:
    return by_person(runs.find(report.run_id))


def _conversations(number: int) -> str:
    return f"{number:,} conversation{'' if number == 1 else 's'}"


def _sessions(number: int) -> str:
    return f"{number:,} session{'' if number == 1 else 's'}"
