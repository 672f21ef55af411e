from typing import Any

from django.core.management.base import CommandParser

from sessions_admin.audit import of_shell
from sessions_admin.management.shell import ShellCommand
from sessions_admin.sessions.inspection import Inspection, inspect
from sessions_admin.sessions.listing import session_details
from sessions_admin.sessions.read_models import InspectedItem


class Command(ShellCommand):
    help = "Show what is known of a session. With --items what is in it too, which needs a --reason and is recorded."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session_id", metavar="ID")
        parser.add_argument("--items", action="store_true", help="show what is in it; the person can see that you did")
        parser.add_argument("--reason", default="", help="why you look into it")
        parser.add_argument("--json", action="store_true", help="print it for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_told():
            details = session_details(options["session_id"])
            seen = self._inspected(options)
        if options["json"]:
            self.print_json(details.as_json() | ({"inspection": seen.as_json()} if seen else {}))
            return
        for name, value in details.as_json().items():
            if value not in ("", None):
                self.stdout.write(f"{name.replace('_', ' ')}: {value}")
        if seen:
            self._show(seen)

    def _inspected(self, options: dict[str, Any]) -> Inspection | None:
        if not options["items"]:
            return None
        return inspect(options["session_id"], actor=of_shell(), reason=options["reason"])

    def _show(self, seen: Inspection) -> None:
        for sentence in (seen.memory.trouble, seen.memory.drift, seen.memory.says):
            if sentence:
                self.stdout.write(f"\n{sentence}")
        self.stdout.write("")
        for entry in seen.memory.given:
            self._show_entry(entry)
        if seen.memory.given is not seen.memory.stored:
            self.stdout.write("\nIn the file now:")
            for entry in seen.memory.stored:
                self._show_entry(entry)
        for row in seen.quarantine:
            self.stdout.write(f"In quarantine, row {row.row_id}, {row.reason}: {row.content}")

    def _show_entry(self, entry: InspectedItem) -> None:
        fault = f" [at fault: {entry.fault}]" if entry.fault else ""
        what = f"{entry.kind} {entry.name}".strip()
        self.stdout.write(f"{entry.n:>4}  {what}: {entry.text}{fault}")
        if entry.output_n:
            self.stdout.write(f"{entry.output_n:>4}  its output: {entry.output_text}")
