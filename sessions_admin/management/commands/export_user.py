from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand
from sessions_admin.people import accounts
from sessions_admin.people.export import export_person
from sessions_admin.stores.files import new_file


class Command(ShellCommand):
    help = "Export everything about a user as a zip file: a JSON document, and Markdown for each conversation."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--reason", default="By command.", help="the reason in the audit, which the user can see")
        parser.add_argument("--force", action="store_true", help="overwrite an existing file")
        parser.add_argument("--json", action="store_true", help="print the counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        with self.failures_reported():
            person = accounts.find(options["email"])
            with new_file(path, force=options["force"]) as file:
                arguments = {"reason": options["reason"], "on_progress": self.print_progress}
                exported = export_person(person.pk, to=file, actor=shell_actor(), **arguments)
        if options["json"]:
            self.print_json(exported.as_json() | {"file": str(path)})
            return
        self.stdout.write(
            f"Wrote {path}: {exported.conversations:,} conversations, {exported.messages:,} messages, "
            f"{exported.tasks:,} tasks, {exported.items:,} items of memory."
        )
