from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from sessions_admin.audit import of_shell
from sessions_admin.management.shell import ShellCommand
from sessions_admin.stores.backup import backup


class Command(ShellCommand):
    help = "Copy the record and the memory together into one file, while people chat, and read the copy back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--force", action="store_true", help="write over a file that is there")
        parser.add_argument("--json", action="store_true", help="print for programs what was copied")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_told():
            how = {"force": options["force"], "on_progress": self.print_progress}
            made = backup(options["file"], actor=of_shell(), **how)
        if options["json"]:
            self.print_json(made.as_json())
            return
        self.stdout.write(
            f"Wrote {made.file} ({filesizeformat(made.bytes)}): {made.rows:,} rows of {made.tables} tables, "
            f"{made.sessions:,} sessions with {made.items:,} items. It was read back and is whole."
        )
