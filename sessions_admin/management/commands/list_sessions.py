from typing import Any

from django.core.management.base import CommandParser

from chat.models.session import State
from sessions_admin.management.shell import ShellCommand, duration
from sessions_admin.sessions.listing import list_sessions

LINE = "{state:<6}  {items:>6}  {bytes:>9}  {last_activity_at:%Y-%m-%d %H:%M}  {session_id}  {email}"


class Command(ShellCommand):
    help = "List sessions, the longest inactive first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--state", choices=State.values, help="only sessions in this state")
        parser.add_argument("--user", metavar="EMAIL", help="only this user's sessions")
        parser.add_argument("--inactive-for", type=duration, metavar="7d", help="only sessions inactive for this long")
        parser.add_argument("--json", action="store_true", help="print the list as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        filters = {"email": options["user"], "inactive_for": options["inactive_for"]}
        sessions = list_sessions(state=options["state"], **filters)
        if options["json"]:
            self.print_json([session.as_json() for session in sessions])
            return
        for session in sessions:
            self.stdout.write(LINE.format(**{name: getattr(session, name) for name in session.__slots__}))
