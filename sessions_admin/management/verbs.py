"""The base of commands that apply a verb to one session."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand
from sessions_admin.sessions.lifecycle import Outcome


class SessionVerb(ShellCommand):
    """A command that applies a verb to one session."""

    verb: ClassVar[Callable[..., Outcome]]
    done: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session_id", metavar="ID")
        parser.add_argument("--reason", default="", help="the reason in the audit")
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_reported():
            outcome = type(self).verb(options["session_id"], actor=shell_actor(), **self.verb_arguments(options))
        self.print_outcome(outcome, as_json=options["json"])

    def verb_arguments(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the verb, other than the session and the actor."""
        return {"reason": options["reason"]}

    def print_outcome(self, outcome: Outcome, *, as_json: bool) -> None:
        """Print the result."""
        if as_json:
            self.print_json(outcome.as_json())
            return
        self.stdout.write(f"{self.done} {outcome}")
