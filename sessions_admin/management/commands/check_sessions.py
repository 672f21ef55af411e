from typing import Any

from django.core.management.base import CommandError, CommandParser

from sessions_admin.management.shell import ShellCommand
from sessions_admin.stores.checking import check


class Command(ShellCommand):
    help = "Check the session file and every list of items in it; fails where something is wrong. Changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the report for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_told():
            report = check(on_progress=self.print_progress)
        if options["json"]:
            self.print_json(report.as_json())
        else:
            for fault in report.faults:
                self.stdout.write(f"{fault.session_id or 'The file'}: {fault.detail}")
            looked = f"{report.sessions:,} sessions, {report.items:,} items"
            self.stdout.write(f"{looked}: sound." if report.is_sound else looked)
        if not report.is_sound:
            raise CommandError(f"{len(report.faults):,} faults. `reconcile_sessions --repair` mends those of sessions.")
