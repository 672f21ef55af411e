"""Error responses from public reports, each with the expected result: one JSON object per line."""

import json
from pathlib import Path
from typing import Any


def reported(name: str) -> list[dict[str, Any]]:
    """Return the reports of a file."""
    lines = Path(__file__).with_name(f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
