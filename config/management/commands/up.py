from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config.runtime.supervisor import Supervisor


class Command(BaseCommand):
    help = "Start everything: the database, the server and the worker. Ctrl-C stops it."
    # The supervisor runs the checks of settings; the other checks load every page, which only the server needs.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="the port to listen on (8000)")
        parser.add_argument("--no-worker", action="store_true", help="do not start a worker: one runs elsewhere")

        parser.add_argument("--servers", type=int, default=1, help="how many server processes (1); more need REDIS_URL")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(f"Threadkeeper {settings.VERSION}"))
        worker = not options["no_worker"]
        where = {"host": options["host"], "port": options["port"], "servers": options["servers"]}
        Supervisor(**where, worker=worker, print_line=self._say).run()

    def _say(self, line: str) -> None:
        self.stdout.write(f"  {line}")
        self.stdout.flush()
