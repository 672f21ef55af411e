from typing import Any

from django.core.management.base import CommandParser

from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand
from sessions_admin.sessions.inspection import Inspection, inspect
from sessions_admin.sessions.listing import session_details
from sessions_admin.sessions.read_models import InspectedItem


class Command(ShellCommand):
    help = "Show a session's metadata; with --items also its content, which requires a --reason and is recorded."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session_id", metavar="ID")
        parser.add_argument("--items", action="store_true", help="show its content; the user can see that you did")
        parser.add_argument("--reason", default="", help="the reason, which the user can see")
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_reported():
            details = session_details(options["session_id"])
            inspection = self._inspected(options)
        if options["json"]:
            self.print_json(details.as_json() | ({"inspection": inspection.as_json()} if inspection else {}))
            return
        for name, value in details.as_json().items():
            if value not in ("", None):
                self.stdout.write(f"{name.replace('_', ' ')}: {value}")
        if inspection:
            self._show(inspection)

    def _inspected(self, options: dict[str, Any]) -> Inspection | None:
        if not options["items"]:
            return None
        return inspect(options["session_id"], actor=shell_actor(), reason=options["reason"])

    def _show(self, inspection: Inspection) -> None:
        for sentence in (inspection.memory.trouble, inspection.memory.drift, inspection.memory.summary):
            if sentence:
                self.stdout.write(f"\n{sentence}")
        self.stdout.write("")
        for entry in inspection.memory.given:
            self._show_entry(entry)
        if inspection.memory.given is not inspection.memory.stored:
            self.stdout.write("\nIn the file now:")
            for entry in inspection.memory.stored:
                self._show_entry(entry)
        for row in inspection.quarantine:
            self.stdout.write(f"In quarantine, row {row.row_id}, {row.reason}: {row.content}")

    def _show_entry(self, entry: InspectedItem) -> None:
        fault = f" [invalid: {entry.fault}]" if entry.fault else ""
        what = f"{entry.kind} {entry.name}".strip()
        self.stdout.write(f"{entry.n:>4}  {what}: {entry.text}{fault}")
        if entry.output_n:
            self.stdout.write(f"{entry.output_n:>4}  its output: {entry.output_text}")
