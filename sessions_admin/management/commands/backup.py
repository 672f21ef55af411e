from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand
from sessions_admin.stores.backup import backup_to


class Command(ShellCommand):
    help = "Back up the record and the memory into one file while the site is in use, and verify the copy."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", metavar="FILE", help="a file, a folder, s3://bucket/folder/ or s3://bucket/name.zip"
        )
        parser.add_argument("--keep", metavar="N", type=int, help="delete all but the newest N backups of that folder")
        parser.add_argument("--force", action="store_true", help="overwrite an existing file")
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_reported():
            arguments = {"force": options["force"], "on_progress": self.print_progress}
            made = backup_to(options["file"], actor=shell_actor(), keep=_checked(options["keep"]), **arguments)
        if options["json"]:
            self.print_json(made.as_json())
            return
        self.stdout.write(
            f"Wrote {made.file} ({filesizeformat(made.bytes)}): {made.rows:,} rows of {made.tables} tables, "
            f"{made.sessions:,} sessions with {made.items:,} items. The copy was verified."
        )


def _checked(keep: int | None) -> int | None:
    if keep is not None and keep < 1:
        raise CommandError("--keep must be at least 1.")
    return keep
