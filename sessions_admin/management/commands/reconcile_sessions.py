from typing import Any

from django.core.management.base import CommandError, CommandParser

from sessions_admin.audit import of_shell
from sessions_admin.management.shell import ShellCommand
from sessions_admin.stores.reconcile import reconcile


class Command(ShellCommand):
    help = "Compare the session file with the record and say what differs; fails where something is left to repair."

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--repair", action="store_true", help="make both what the record says")
        how.add_argument("--dry-run", action="store_true", help="change nothing, as without --repair")
        parser.add_argument("--reason", default="", help="what the audit is to say")
        parser.add_argument("--json", action="store_true", help="print the report for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        how = {"repair": options["repair"], "reason": options["reason"]}
        with self.failures_told():
            report = reconcile(actor=of_shell(), on_progress=self.print_progress, **how)
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
