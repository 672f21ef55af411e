from typing import Any

from django.core.management.base import CommandError, CommandParser

from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand
from sessions_admin.stores.reconcile import reconcile


class Command(ShellCommand):
    help = "Compare the session store with the record, and print the drift; fails if some is not repaired."

    def add_arguments(self, parser: CommandParser) -> None:
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--repair", action="store_true", help="repair the drift from the record")
        mode.add_argument("--dry-run", action="store_true", help="change nothing, as without --repair")
        parser.add_argument("--reason", default="", help="the reason in the audit")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        arguments = {"repair": options["repair"], "reason": options["reason"]}
        with self.failures_reported():
            report = reconcile(actor=shell_actor(), on_progress=self.print_progress, **arguments)
        if options["json"]:
            self.print_json(report.as_json())
        else:
            for finding in report.findings:
                self.stdout.write(f"{finding.session_id}: {', '.join(drift.label for drift in finding.drifts)}")
            if (unnamed := report.drifted + report.foreign - len(report.findings)) > 0:
                self.stdout.write(f"and {unnamed:,} more")
            self.stdout.write(report.summary)
        if not report.is_clean:
            raise CommandError("The stores differ. `reconcile_sessions --repair` makes them agree.")
