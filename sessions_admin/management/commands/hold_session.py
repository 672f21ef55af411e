from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from sessions_admin.management.shell import duration
from sessions_admin.management.verbs import SessionVerb
from sessions_admin.sessions.lifecycle import hold_session


class Command(SessionVerb):
    help = "Protect a session from clean-ups, clearing and expiry. Requires a --reason."
    verb = staticmethod(hold_session)
    done = "Held"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--for",
            dest="lasts",
            type=duration,
            metavar="7d",
            help="duration; without it, until the session is released",
        )

    def verb_arguments(self, options: dict[str, Any]) -> dict[str, Any]:
        until = timezone.now() + options["lasts"] if options["lasts"] else None
        return {"reason": options["reason"], "until": until}
