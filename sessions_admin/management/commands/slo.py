import argparse
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sessions_admin.management.shell import ShellCommand
from sessions_admin.metrics.objectives import DAY, Objective, ObjectivesReport, measure
from sessions_admin.reports import counted

DAYS = 30


class Command(ShellCommand):
    help = "Measure the service level objectives. Changes nothing; fails if one is missed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days", type=_days, default=DAYS, help=f"how many days of the record are measured (default: {DAYS})"
        )
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        with self.failures_reported():
            report = measure(options["days"])
        if options["json"]:
            self.print_json(report.as_json())
        else:
            self.stdout.write("\n".join(_lines(report)))
        if not report.is_met:
            missed = ", ".join(one.label for one in report.objectives if not one.is_met)
            raise CommandError(f"Missed: {missed}.")


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 3650):
        raise argparse.ArgumentTypeError("it must be a number from 1 to 3650")
    return int(text)


def _lines(report: ObjectivesReport) -> list[str]:
    turns = f"{counted(report.accepted, 'turn')} accepted, {report.ended:,} ended"
    lines = [f"The last {report.days} days: {turns} ({report.failed:,} failed, {report.stopped:,} stopped)"]
    lines += [_line(one) for one in report.objectives]
    return [*lines, "* Since the last start of `up` on this machine, if METRICS_TOKEN is set."]


def _line(objective: Objective) -> str:
    value, limit = (_shown(objective, number) for number in (objective.value, objective.limit))
    label = objective.label + "*" * objective.is_of_last_start
    return f"  {'ok' if objective.is_met else 'missed':<6}  {label:<46} {value:>8}  of at most {limit}"


def _shown(objective: Objective, value: float | None) -> str:
    if value is None:
        return "-"
    if objective.unit == "share":
        return f"{value:.1%}"
    if objective.unit == "turns":
        return f"{value:,.0f}"
    return f"{value / DAY:.1f} days" if value >= DAY else f"{value:,.0f} s" if value >= 10 else f"{value:.3g} s"
