from typing import Any

from django.core.management.base import CommandError, CommandParser

from sessions_admin.management.shell import ShellCommand
from sessions_admin.stores.checking import CheckReport, check


class Command(ShellCommand):
    help = "Check the session store and every list of items in it. Changes nothing; fails if there are faults."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_reported():
            report = check(on_progress=self.print_progress)
        if options["json"]:
            self.print_json(report.as_json())
        else:
            for fault in report.faults:
                self.stdout.write(f"{fault.session_id or 'The file'}: {fault.detail}")
            counts = f"{report.sessions:,} sessions, {report.items:,} items"
            self.stdout.write(f"{counts}: sound." if report.is_sound else counts)
            if report.foreign:
                self.stdout.write(f"{report.foreign:,} sessions of other programs, not checked.")
            if report.pending_deletions:
                self.stdout.write(
                    f"{report.pending_deletions:,} deletions are pending: a process reads the file, so deleted text "
                    "deleted can still be read in it or in its log. The worker looks every minute."
                )
            for left in report.leftovers:
                self.stdout.write(f"Left over, removed by the next start or clean-up: {left.path} ({left.label})")
        if not report.is_sound:
            raise CommandError(_advice(report))


def _advice(report: CheckReport) -> str:
    faults = f"{len(report.faults):,} fault{'s' * (len(report.faults) > 1)}."
    if any(fault.session_id for fault in report.faults):
        faults += " `reconcile_sessions --repair` repairs those of sessions."
    return faults
