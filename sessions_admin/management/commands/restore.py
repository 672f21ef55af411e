from typing import Any

from django.core.management.base import CommandParser

from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand, size
from sessions_admin.stores.places import fetched
from sessions_admin.stores.restore import restore


class Command(ShellCommand):
    help = "Restore a backup into an empty database (or, with --force, into any), while no server runs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="a file, or s3://bucket/folder/name.zip")
        parser.add_argument("--force", action="store_true", help="replace all existing data")
        parser.add_argument("--dry-run", action="store_true", help="check the backup, and restore nothing")
        parser.add_argument(
            "--max-size",
            metavar="SIZE",
            type=size,
            help="the maximum unpacked size, such as 20G (default: 50 times its size)",
        )
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_reported():
            arguments = {name: options[name] for name in ("force", "dry_run")} | {"on_progress": self.print_progress}
            with fetched(options["file"]) as file:
                done = restore(file, actor=shell_actor(), limit=options["max_size"], **arguments)
        if done.erased_since:
            self.stderr.write(
                "These people were erased after this backup was made and may be in it. Erase them again with "
                f"erase_user ID: {', '.join(done.erased_since)}."
            )
        if options["json"]:
            self.print_json(done.as_json())
            return
        verb = "Could restore" if done.dry_run else "Restored"
        self.stdout.write(
            f"{verb} the backup of {done.made_at[:16].replace('T', ' ')} UTC (version {done.version}): {done.rows:,} "
            f"rows of {done.tables} tables, {done.sessions:,} sessions with {done.items:,} items."
        )
