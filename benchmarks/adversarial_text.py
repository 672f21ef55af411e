"""Processor time that the longest messages cost the offline model and the guardrail, if written to slow them down.

    uv run python -m benchmarks.adversarial_text

Repeats short pieces up to the length limits, parses them, and prints the slowest in seconds of processor time.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

WORDS = "a|task|delete|done|mark|no|not|to|by|at 5 on|tomorrow|next|the|add a to|i|it's|and|5|12:|1.|e.g.|ab"
SIGNS = '-|(|.|?|,|\'|"|/|🧵|ß|-(|,-|. |x\n- |"a" |a,|\n|\t|\u2028'
PIECES = [piece + end for piece in WORDS.split("|") for end in ("", " ", ", ")] + SIGNS.split("|")


def main() -> None:
    """Parse everything and print the table."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from chat.assistant.offline.understanding import LONGEST, understand
    from chat.assistant.relevance import judge
    from chat.models.conversation import USER_TEXT_LENGTH

    now = datetime.now(UTC)
    parsers: dict[str, tuple[Callable[[str], object], int]] = {
        "offline model": (lambda text: understand(text, now), LONGEST),
        "guardrail": (lambda text: judge(text, []), USER_TEXT_LENGTH),
    }
    print("| parser | characters | slowest, seconds | repeated piece |\n|---|---|---|---|")
    for name, (parse, length) in parsers.items():
        seconds, piece = max((_seconds(parse, (piece * length)[:length]), piece) for piece in PIECES)
        print(f"| {name} | {length} | {seconds:.2f} | {piece!r} |")


def _seconds(parse: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    parse(text)
    return time.process_time() - started


if __name__ == "__main__":
    main()
