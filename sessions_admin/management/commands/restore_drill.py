import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from sessions_admin.management.shell import ShellCommand
from sessions_admin.stores.drill import drill


class Command(ShellCommand):
    help = "Prove that a backup can be restored: restore it into a scratch database, check it there, and drop it."

    def add_arguments(self, parser: CommandParser) -> None:
        text = "a backup, or a place of backups whose newest is taken (default: BACKUP_TO)"
        parser.add_argument("file", metavar="FILE", nargs="?", default=settings.BACKUP_TO, help=text)
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["file"]:
            raise CommandError("Name a backup, or set BACKUP_TO.")
        # So that the scratch database is dropped.
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            with self.failures_reported():
                done = drill(options["file"])
        finally:
            signal.signal(signal.SIGTERM, before)
        if options["json"]:
            self.print_json(done.as_json())
            return
        drifted = f" {done.drifted:,} sessions would be rebuilt by their next message." if done.drifted else ""
        self.stdout.write(
            f"{done.backup} of {done.made_at[:16].replace('T', ' ')} UTC (version {done.version}) was restored in "
            f"{done.restore_seconds:.1f} s and is sound: {done.rows:,} rows, {done.sessions:,} sessions with "
            f"{done.items:,} items.{drifted}"
        )
