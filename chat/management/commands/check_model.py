import json
import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.assistant.model_config import ModelConfig, configured

MARKS = {"ok": "ok", "missing": "missing", "failed": "FAILED", "skipped": "skipped"}


class Command(BaseCommand):
    help = "Ask a model's endpoint ten things that the product does with it, and print the settings to use."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="of a model in AGENT_MODELS; the default without it")
        parser.add_argument("--json", action="store_true", help="print everything for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        # The SDK takes two seconds to load, which `--help` does not need.
        from chat.assistant.endpoints.check import Point, Report, check

        def show(point: Point) -> None:
            if not options["json"]:
                if point.name == "stream":
                    self.stdout.write(f"\nBy {point.api}:")
                self.stdout.write(
                    f"  {point.name:<20} {MARKS[point.outcome]:<8} {point.seconds:>6.1f} s  {point.note}".rstrip()
                )
                self.stdout.flush()

        config = _wanted(options["name"])
        if not options["json"]:
            self.stdout.write(f"{config.label or config.name}: {config.model} at {config.host}")
        before = logging.root.manager.disable
        logging.disable(logging.ERROR)  # each point has its sentence
        try:
            report: Report = check(config, show)
        finally:
            logging.disable(before)
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
        elif report.is_usable:
            self.stdout.write("\nSettings to use (in AGENT_MODELS: api, omit, reasoning):")
            self.stdout.write(f"  AGENT_API={report.api}")
            self.stdout.write(f"  AGENT_OMIT={','.join(report.omit)}")
            self.stdout.write(f"  AGENT_REASONING={report.reasoning}")
        if not report.is_usable:
            raise CommandError("The product cannot work with this endpoint as it is configured: see what FAILED.")


def _wanted(name: str | None) -> ModelConfig:
    models = configured()
    if not models:
        raise CommandError("No endpoint is configured: set OPENAI_API_KEY, OPENAI_BASE_URL or AGENT_MODELS.")
    found = next((model for model in models if name in (None, model.name)), None)
    if found is None:
        names = ", ".join(model.name for model in models)
        raise CommandError(f"There is no model of this name. There are: {names}.")
    return found
