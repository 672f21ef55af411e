"""What the commands share that do one thing to sessions named by their ids."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from sessions_admin.audit import of_shell
from sessions_admin.management.shell import ShellCommand
from sessions_admin.sessions.lifecycle import Outcome


class SessionVerb(ShellCommand):
    """A command that does one thing to one session."""

    verb: ClassVar[Callable[..., Outcome]]
    done: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session_id", metavar="ID")
        parser.add_argument("--reason", default="", help="what the audit is to say")
        parser.add_argument("--json", action="store_true", help="print the outcome for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_told():
            outcome = type(self).verb(options["session_id"], actor=of_shell(), **self.how(options))
        self.tell(outcome, as_json=options["json"])

    def how(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return what the verb is given besides the session and the actor."""
        return {"reason": options["reason"]}

    def tell(self, outcome: Outcome, *, as_json: bool) -> None:
        """Print the result."""
        if as_json:
            self.print_json(outcome.as_json())
            return
        self.stdout.write(f"{self.done} {outcome}")
