import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from sessions_admin import clock
from sessions_admin.audit import shell_actor
from sessions_admin.management.interruption import interruption
from sessions_admin.management.shell import ShellCommand, duration
from sessions_admin.models import RunStatus, Trigger
from sessions_admin.reports import counted
from sessions_admin.retention import runs
from sessions_admin.retention.cleanup import CleanupReport, cleanup
from sessions_admin.retention.run_results import PersonLine, by_person

LINE = "{sessions:>8,}  {items:>10,}  {size:>12}  {email}"


class Command(ShellCommand):
    help = "Remove expired sessions, as the worker does every day. Ctrl-C stops after the current batch."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="remove nothing, print what would be removed")
        parser.add_argument("--older-than", type=duration, metavar="7d", help="instead of AGENT_SESSION_RETENTION_DAYS")
        parser.add_argument(
            "--confirm-clock",
            action="store_true",
            help="trust the clock although it jumped or is behind the newest row",
        )
        parser.add_argument(
            "--by-user", action="store_true", help="print the removed sessions per user, the largest first"
        )
        parser.add_argument("--json", action="store_true", help="print the report as JSON, with the sessions per user")

    def handle(self, *args: Any, **options: Any) -> None:
        arguments = {"dry_run": options["dry_run"], "older_than": options["older_than"]}
        if options["confirm_clock"]:
            clock.confirm(actor=shell_actor())
        with self.failures_reported(), interruption() as signalled:
            report = cleanup(
                trigger=Trigger.COMMAND, on_progress=self.print_progress, should_stop=signalled.has_arrived, **arguments
            )
        if options["json"]:
            people = [line.as_json() for line in _by_person(report)]
            self.print_json(report.as_json() | {"by_user": people})
        else:
            self._print_report(report, by_user=options["by_user"])
        if report.status == RunStatus.STOPPED:
            sys.exit(signalled.exit_code or 1)

    def _print_report(self, report: CleanupReport, *, by_user: bool) -> None:
        if report.status == RunStatus.STOPPED:
            self.stdout.write(f"Stopped after {report.examined:,} of {report.total or 0:,}.")
        verb = "Would remove" if report.dry_run else "Removed"
        removed = counted(report.sessions, "session")
        self.stdout.write(f"{verb} {removed}: {report.items:,} items, {filesizeformat(report.bytes)}.")
        if report.trashed or report.purged:
            moved, deleted = ("Would move", "delete") if report.dry_run else ("Moved", "deleted")
            moves = f"{moved} {counted(report.trashed, 'conversation')} to the trash"
            self.stdout.write(f"{moves}, permanently {deleted} {report.purged:,}.")
        if report.held:
            self.stdout.write(f"Skipped {counted(report.held, 'session')} on hold.")
        if report.freed_bytes:
            self.stdout.write(f"Returned {filesizeformat(report.freed_bytes)} to the disk.")
        for line in _by_person(report) if by_user else ():
            size = filesizeformat(line.bytes)
            self.stdout.write(LINE.format(sessions=line.sessions, items=line.items, size=size, email=line.email))


def _by_person(report: CleanupReport) -> Iterator[PersonLine]:
    return by_person(runs.find(report.run_id))
