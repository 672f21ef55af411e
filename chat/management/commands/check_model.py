import json
import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.assistant.model_config import ModelConfig, configured

LABELS = {"ok": "ok", "missing": "missing", "failed": "FAILED", "skipped": "skipped"}


class Command(BaseCommand):
    help = "Test ten uses of a model's endpoint, and print the settings for it."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="the name of a model in AGENT_MODELS (the default model)")
        parser.add_argument("--json", action="store_true", help="print everything as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        # Importing the SDK takes two seconds, which `--help` does not need.
        from chat.assistant.endpoints.check import Point, Report, check

        def show(point: Point) -> None:
            if not options["json"]:
                if point.name == "stream":
                    self.stdout.write(f"\nBy {point.api}:")
                self.stdout.write(
                    f"  {point.name:<20} {LABELS[point.outcome]:<8} {point.seconds:>6.1f} s  {point.note}".rstrip()
                )
                self.stdout.flush()

        config = _find_model(options["name"])
        if not options["json"]:
            self.stdout.write(f"{config.label or config.name}: {config.model} at {config.host}")
        disabled_before = logging.root.manager.disable
        logging.disable(logging.ERROR)  # each result has its sentence
        try:
            report: Report = check(config, show)
        finally:
            logging.disable(disabled_before)
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
        elif report.is_usable:
            self.stdout.write("\nSettings to use (in AGENT_MODELS: api, omit, reasoning):")
            self.stdout.write(f"  AGENT_API={report.api}")
            self.stdout.write(f"  AGENT_OMIT={','.join(report.omit)}")
            self.stdout.write(f"  AGENT_REASONING={report.reasoning}")
        if not report.is_usable:
            raise CommandError("The product cannot use this endpoint as it is configured: see what FAILED.")


def _find_model(name: str | None) -> ModelConfig:
    models = configured()
    if not models:
        raise CommandError("No endpoint is configured: set OPENAI_API_KEY, OPENAI_BASE_URL or AGENT_MODELS.")
    found = next((model for model in models if name in (None, model.name)), None)
    if found is None:
        names = ", ".join(model.name for model in models)
        raise CommandError(f"There is no model of this name. The models are: {names}.")
    return found
