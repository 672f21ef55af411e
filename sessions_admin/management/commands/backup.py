from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand
from sessions_admin.stores.backup import backup


class Command(ShellCommand):
    help = "Back up the record and the memory into one file while the site is in use, and verify the copy."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--force", action="store_true", help="overwrite an existing file")
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_reported():
            arguments = {"force": options["force"], "on_progress": self.print_progress}
            made = backup(options["file"], actor=shell_actor(), **arguments)
        if options["json"]:
            self.print_json(made.as_json())
            return
        self.stdout.write(
            f"Wrote {made.file} ({filesizeformat(made.bytes)}): {made.rows:,} rows of {made.tables} tables, "
            f"{made.sessions:,} sessions with {made.items:,} items. The copy was verified."
        )
