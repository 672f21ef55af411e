from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from sessions_admin.management.shell import duration
from sessions_admin.management.verbs import SessionVerb
from sessions_admin.sessions.lifecycle import hold_session


class Command(SessionVerb):
    help = "Keep a session from clean-up, clearing and expiry. Needs a --reason."
    verb = staticmethod(hold_session)
    done = "Held"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--for", dest="lasts", type=duration, metavar="7d", help="until it is released, unless given"
        )

    def how(self, options: dict[str, Any]) -> dict[str, Any]:
        until = timezone.now() + options["lasts"] if options["lasts"] else None
        return {"reason": options["reason"], "until": until}
