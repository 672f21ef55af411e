from typing import Any

from django.core.management.base import CommandParser

from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand
from sessions_admin.stores.migrate import Migration, Removal, migrate, remove

STORE = "file, database, or the URL of a PostgreSQL"


class Command(ShellCommand):
    help = "Copy the sessions into another store while the site is in use, and verify the copies."

    def add_arguments(self, parser: CommandParser) -> None:
        mode = parser.add_mutually_exclusive_group(required=True)
        mode.add_argument("--to", metavar="STORE", help=f"the store to copy to: {STORE}")
        mode.add_argument("--remove", metavar="STORE", help="remove the sessions of a store that is no longer used")
        parser.add_argument("--dry-run", action="store_true", help="change nothing")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        arguments = {"actor": shell_actor(), "dry_run": options["dry_run"], "on_progress": self.print_progress}
        report: Migration | Removal
        with self.failures_reported():
            if options["remove"]:
                report = remove(options["remove"], **arguments)
            else:
                report = migrate(options["to"], **arguments)
        if options["json"]:
            self.print_json(report.as_json())
        else:
            self.stdout.write(report.summary)
