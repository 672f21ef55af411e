"""What the longest message costs the server that the built-in model reads, whoever writes it to hold the server up.

    uv run python -m benchmarks.adversarial_text

Repeats short pieces up to the limits, reads them, and prints the slowest in seconds of processor time.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

WORDS = "a|task|delete|done|mark|no|not|to|by|at 5 on|tomorrow|next|the|add a to|i|it's|and|5|12:|1.|e.g.|ab"
SIGNS = '-|(|.|?|,|\'|"|/|🧵|ß|-(|,-|. |x\n- |"a" |a,|\n|\t|\u2028'
PIECES = [piece + end for piece in WORDS.split("|") for end in ("", " ", ", ")] + SIGNS.split("|")


def main() -> None:
    """Read everything and print the table."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from chat.assistant.offline.understanding import LONGEST, understand
    from chat.assistant.relevance import judge
    from chat.models.conversation import USER_TEXT_LENGTH

    now = datetime.now(UTC)
    readers: dict[str, tuple[Callable[[str], object], int]] = {
        "understood": (lambda text: understand(text, now), LONGEST),
        "judged by the guardrail": (lambda text: judge(text, []), USER_TEXT_LENGTH),
    }
    print("| what | characters | slowest, seconds | of |\n|---|---|---|---|")
    for name, (read, length) in readers.items():
        seconds, piece = max((_seconds(read, (piece * length)[:length]), piece) for piece in PIECES)
        print(f"| {name} | {length} | {seconds:.2f} | {piece!r} |")


def _seconds(read: Callable[[str], object], text: str) -> float:
    begun = time.process_time()
    read(text)
    return time.process_time() - begun


if __name__ == "__main__":
    main()
