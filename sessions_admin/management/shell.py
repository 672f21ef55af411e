"""Helpers of the commands: durations, output for people or programs, and failures."""

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError
from psycopg.errors import UndefinedColumn, UndefinedTable

from chat.exceptions import ThreadkeeperError
from chat.infra.database_limits import summary
from config.checks import TAG

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}

NO_TABLES = "The database lacks tables of this version. Start `manage.py up` once, or run `manage.py migrate`."


def duration(text: str) -> timedelta:
    """Parse a duration such as 7d, 12h, 30m or 2w."""
    match = re.fullmatch(r"([1-9]\d{0,4})([wdhm])", text.strip().lower(), re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"“{text}” is not a duration such as 7d or 12h.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def size(text: str) -> int:
    """Parse a size in bytes such as 500M, 20G or 1T."""
    match = re.fullmatch(r"([1-9]\d{0,11})([KMGT]?)", text.strip().upper(), re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"“{text}” is not a size such as 500M or 20G.")
    return int(match[1]) << 10 * " KMGT".index(match[2] or " ")


class ShellCommand(BaseCommand):
    """A command that calls one function."""

    # Only the checks of the settings: the others import every page and the SDK, which takes seconds.
    requires_system_checks = (TAG,)

    has_printed_json = False

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command of a shell. With --json, wrong arguments are reported as JSON, too."""
        if "--json" in argv[2:]:
            try:
                # Not yet called from a command line, the parser raises instead of exiting.
                self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
            except CommandError as error:
                self.print_json({"error": {"code": "bad_input", "detail": str(error).removeprefix("Error: ")}})
        super().run_from_argv(argv)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. With --json, a failure is printed as JSON, too, unless a report is."""
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            self._print_failure(error, options)
            raise
        except ProgrammingError as error:
            if not isinstance(error.__cause__, UndefinedTable | UndefinedColumn):
                raise
            failure = CommandError(NO_TABLES)
            self._print_failure(failure, options)
            raise failure from None
        except (InterfaceError, OperationalError, psycopg.OperationalError) as error:
            failure = CommandError(f"The database cannot be used: {summary(error)}")
            self._print_failure(failure, options, code="unavailable")
            raise failure from error

    def _print_failure(self, error: CommandError, options: dict[str, Any], code: str = "") -> None:
        if options.get("json") and not self.has_printed_json:
            code = code or getattr(error.__cause__, "code", "failed")
            self.print_json({"error": {"code": code, "detail": str(error)}})

    def print_json(self, value: object) -> None:
        """Print a value as JSON."""
        self.has_printed_json = True
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=False))

    def print_progress(self, done: int, total: int) -> None:
        """Draw a progress bar on a terminal."""
        if self.stderr.isatty():
            filled = 30 * done // max(total, 1)
            line = f"\r[{'#' * filled}{'.' * (30 - filled)}] {done:,} of {total:,}"
            self.stderr.write(line, str, ending="\n" if done >= total else "")
            self.stderr.flush()

    @contextmanager
    def failures_reported(self) -> Iterator[None]:
        """Convert errors into CommandError."""
        try:
            yield
        except ThreadkeeperError as error:
            raise CommandError(error.detail) from error
