from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser

from chat.assistant.usage import price
from sessions_admin.management.shell import ShellCommand, duration
from sessions_admin.metrics.usage import usage_lines

LINE = "{:%Y-%m-%d}  {:>8,} responses  {:>12,} in  {:>12,} out  {:>16}  {}  {}"


class Command(ShellCommand):
    help = "Print the tokens and the cost of models per user and day, the newest day first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--within", type=duration, default=timedelta(days=30), metavar="30d", help="the period (default: 30d)"
        )
        parser.add_argument("--user", metavar="EMAIL", help="only this user's usage")
        parser.add_argument("--by-model", action="store_true", help="one line per model")
        parser.add_argument("--json", action="store_true", help="print the list as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        lines = usage_lines(within=options["within"], email=options["user"], by_model=options["by_model"])
        if options["json"]:
            self.print_json([line.as_json() for line in lines])
            return
        for line in lines:
            shown = (line.day, line.responses, line.input_tokens, line.output_tokens, price(line.cost))
            self.stdout.write(LINE.format(*shown, line.email, line.model).rstrip())
