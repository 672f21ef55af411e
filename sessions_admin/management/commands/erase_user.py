import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser

from chat.exceptions import NotFound
from sessions_admin.audit import shell_actor
from sessions_admin.management.shell import ShellCommand
from sessions_admin.people import accounts
from sessions_admin.people.erase import Erasure, erase_person, newest_report, preview_erasure


class Command(ShellCommand):
    help = (
        "Remove everything about a user from both stores, except legal holds, and report what was removed and is left."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("person", metavar="PERSON", help="an e-mail address or an id")
        parser.add_argument("--reason", default="By command.", help="the reason in the audit and the report")
        parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--dry-run", action="store_true", help="remove nothing, print what would be removed")
        what.add_argument("--report", action="store_true", help="remove nothing, show the newest report")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_reported():
            report = _report(options["person"]) if options["report"] else self._erase(options)
        if options["json"]:
            self.print_json(report.as_json())
        else:
            self._print(report)

    def _erase(self, options: dict[str, Any]) -> Erasure:
        person = accounts.find(options["person"])
        if options["dry_run"]:
            return preview_erasure(person.pk)
        self._ask(person.email, yes=options["yes"])
        arguments = {"reason": options["reason"], "on_progress": self.print_progress}
        return erase_person(person.pk, actor=shell_actor(), **arguments)

    def _ask(self, email: str, *, yes: bool) -> None:
        if yes:
            return
        self.stderr.write(f"Everything about {email} will be removed, and cannot be restored.", str)
        try:
            self.stderr.write("Type the e-mail address to continue: ", str, ending="")
            answer = input()
        except EOFError:
            raise CommandError("There is no input; use --yes to continue without confirmation.") from None
        if answer.strip().lower() != email:
            raise CommandError("The address does not match; nothing was removed.")

    def _print(self, report: Erasure) -> None:
        self.stdout.write(f"{'':<42}{'before':>9}{'after':>9}{'held':>9}")
        for line in report.lines:
            self.stdout.write(f"{line.store + ': ' + line.kind:<42}{line.before:>9,}{line.after:>9,}{line.held:>9,}")
        if report.dry_run:
            self.stdout.write(f"{report.left:,} would be removed.")
        elif report.held_conversations:
            held = report.held_conversations
            self.stdout.write(f"{held:,} held conversation{'s' * (held > 1)} stay, with the closed account.")
        elif not report.pending:
            self.stdout.write("Only the audit is left.")
        if report.pending:
            self.stdout.write(
                "Pending: a process reads the session file, so removed text can still be read in it or in its log. "
                f"The worker completes the erasure later; `erase_user --report {report.person}` shows its state."
            )
        if report.finished_at:
            at = f"{report.finished_at:%Y-%m-%d %H:%M} UTC"
            self.stdout.write(f"The session file was cleared, and searched for the id, at {at}.")
        if report.set_aside_files:
            self.stdout.write("Quarantined session files may contain more; please remove them.")
        self._print_search(report)

    def _print_search(self, report: Erasure) -> None:
        self.stdout.write("\nEvery column and the session file were searched for the addresses and the id:")
        for each in report.remains:
            why = " (the audit keeps ids)" if each.is_expected else ""
            self.stdout.write(f"  {each.place}: {each.addresses:,} with an address, {each.ids:,} with the id{why}")
        if not report.remains:
            self.stdout.write("  nothing found")
        if report.unsearched:
            self.stdout.write(f"Could not be searched: {', '.join(report.unsearched)}.")
        self.stdout.write("An erasure does not reach:")
        for limit in report.beyond_reach:
            self.stdout.write(f"  {limit.what}: until {limit.until}.")


def _report(person: str) -> Erasure:
    try:
        report = newest_report(uuid.UUID(person))
    except ValueError:
        report = newest_report(accounts.find(person).pk)
    if report is None:
        raise NotFound("There is no erasure report of this user.")
    return report
