from typing import Any

from django.core.management.base import CommandError, CommandParser

from chat.exceptions import ThreadkeeperError
from chat.models import AgentSession
from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand
from sessions_admin.sessions.lifecycle import over_limit, prune_session


class Command(ShellCommand):
    help = (
        "Remove the oldest user turns of sessions until they are within their limit; by default, of all that exceed it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session_id", nargs="*", metavar="ID")
        parser.add_argument("--reason", default="", help="the reason in the audit")
        parser.add_argument("--dry-run", action="store_true", help="prune nothing, print the sessions over the limit")
        parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = list(dict.fromkeys(options["session_id"])) or over_limit()
        if options["dry_run"]:
            known = set(AgentSession.objects.filter(session_id__in=chosen).values_list("session_id", flat=True))
            if unknown := [session_id for session_id in chosen if session_id not in known]:
                raise CommandError(f"There is no session {', '.join(unknown)}.")
            if options["json"]:
                self.print_json(chosen)
            else:
                self.stdout.write("\n".join(chosen) or "No session exceeds its limit.")
            return
        outcomes, failures = [], []
        for done, session_id in enumerate(chosen, 1):
            try:
                outcomes.append(prune_session(session_id, actor=shell_actor(), reason=options["reason"]))
            except ThreadkeeperError as error:
                failures.append(f"{session_id}: {error.detail}")
            self.print_progress(done, len(chosen))
        if options["json"]:
            self.print_json([outcome.as_json() for outcome in outcomes])
        else:
            for outcome in outcomes:
                self.stdout.write(f"Pruned {outcome}")
        if failures:
            raise CommandError("\n".join(failures))
