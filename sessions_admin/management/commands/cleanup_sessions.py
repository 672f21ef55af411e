from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from sessions_admin.cleanup import cleanup
from sessions_admin.management.shell import ShellCommand, duration
from sessions_admin.models import Trigger


class Command(ShellCommand):
    help = "Remove sessions that have been inactive for too long, as the worker does every day."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="remove nothing, say what would be removed")
        parser.add_argument("--older-than", type=duration, metavar="7d", help="instead of AGENT_SESSION_RETENTION_DAYS")
        parser.add_argument("--json", action="store_true", help="print the report for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        how = {"dry_run": options["dry_run"], "older_than": options["older_than"]}
        with self.failures_told():
            report = cleanup(trigger=Trigger.COMMAND, on_progress=self.print_progress, **how)
        if options["json"]:
            self.print_json(report.as_json())
            return
        verb = "Would remove" if report.dry_run else "Removed"
        sessions = f"{report.sessions:,} session{'' if report.sessions == 1 else 's'}"
        self.stdout.write(f"{verb} {sessions}: {report.items:,} items, {filesizeformat(report.bytes)}.")
