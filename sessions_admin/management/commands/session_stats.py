from typing import Any

from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat

from sessions_admin.management.shell import ShellCommand
from sessions_admin.metrics.overview import Overview, overview


class Command(ShellCommand):
    help = "Say how many sessions there are, in which state and how big, what is under way and what failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print everything for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_told():
            found = overview()
        if options["json"]:
            self.print_json(found.as_json())
        else:
            self.stdout.write("\n".join(_lines(found)))


def _lines(found: Overview) -> list[str]:
    said = [f"Attention: {problem}" for problem in found.problems]
    said.append(f"{found.sessions:,} sessions, {found.items:,} items; {_size(found.file_bytes)} on the disk")
    said += [
        f"  {counted.state.label:<8} {counted.sessions:>9,}  {counted.items:>11,} items  {_size(counted.bytes):>9}"
        for counted in found.kept
    ]
    turns, worker, takes = found.turns, found.worker, found.cleanup.takes
    today = found.days[-1]
    said.append(f"Today: {today.messages:,} messages in {today.sessions:,} conversations")
    said.append(f"Turns: {turns.running:,} running, {turns.queued:,} queued, {turns.waiting:,} waiting for a person")
    said.append(f"Worker: {worker.waiting:,} tasks waiting, {worker.taken:,} under way")
    due = f"{found.cleanup.at:%Y-%m-%d %H:%M} UTC" if found.cleanup.at else "not scheduled"
    said.append(f"Next clean-up: {due}; it would take {takes.sessions:,} sessions now, {_size(takes.bytes)}")
    said += [f"Failed {fail.at:%Y-%m-%d %H:%M}: {fail.kind} {fail.subject}: {fail.code}" for fail in found.failures]
    return said


def _size(count: int) -> str:
    return filesizeformat(count).replace("\xa0", " ")
