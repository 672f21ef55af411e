from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from sessions_admin.management.shell import ShellCommand
from sessions_admin.metrics.overview import Overview, overview


class Command(ShellCommand):
    help = "Print the number, states and sizes of sessions, active work, and failures."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print everything as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_reported():
            found = overview()
        if options["json"]:
            self.print_json(found.as_json())
        else:
            self.stdout.write("\n".join(_lines(found)))


def _lines(found: Overview) -> list[str]:
    lines = [f"Attention: {problem}" for problem in found.problems]
    lines.append(f"{found.sessions:,} sessions, {found.items:,} items; {_size(found.file_bytes)} on the disk")
    lines += [
        f"  {counted.state.label:<11} {counted.sessions:>9,}  {counted.items:>11,} items  {_size(counted.bytes):>9}"
        for counted in found.kept
    ]
    turns, worker, takes = found.turns, found.worker, found.cleanup.takes
    today = found.days[-1]
    lines.append(f"Today: {today.messages:,} messages in {today.sessions:,} conversations")
    lines.append(f"Turns: {turns.running:,} running, {turns.queued:,} queued, {turns.waiting:,} waiting for a decision")
    lines.append(f"Worker: {worker.waiting:,} tasks waiting, {worker.taken:,} running")
    due = f"{found.cleanup.at:%Y-%m-%d %H:%M} UTC" if found.cleanup.at else "not scheduled"
    lines.append(f"Next clean-up: {due}; it would remove {takes.sessions:,} sessions now, {_size(takes.bytes)}")
    lines += [f"Failed {fail.at:%Y-%m-%d %H:%M}: {fail.kind} {fail.subject}: {fail.code}" for fail in found.failures]
    return lines


def _size(count: int) -> str:
    return filesizeformat(count).replace("\xa0", " ")
