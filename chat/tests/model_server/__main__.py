"""Serve a script, or the offline model, to real server processes: `python -m chat.tests.model_server --port N`."""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from chat.tests.model_server.offline import answer_offline
from chat.tests.model_server.request import Request
from chat.tests.model_server.script import Rule, Step, read_script
from chat.tests.model_server.server import ModelServer


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m chat.tests.model_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 selects a free port; the address is printed")
    parser.add_argument("--script", type=Path, help="steps as JSON, played in a loop; without it the offline model")
    parser.add_argument("--key", help="the only API key that is accepted")
    options = parser.parse_args()
    try:
        rule = _play_in_loop(read_script(options.script.read_text())) if options.script else answer_offline
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port, options.key, rule))


def _play_in_loop(steps: Sequence[Step]) -> Rule:
    if not steps:
        raise ValueError("The script is empty.")
    endless_steps = cycle(steps)

    async def play(request: Request) -> Step:
        return next(endless_steps)

    return play


async def _serve(port: int, key: str | None, rule: Rule) -> None:
    async with ModelServer(port=port, key=key, rule=rule) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    main()
