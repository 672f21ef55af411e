"""Serve the built-in model to real server processes: `python -m chat.tests.model_server --port N`."""

import argparse
import asyncio
import contextlib
import sys

from chat.tests.model_server.offline import answer_offline
from chat.tests.model_server.server import ModelServer


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m chat.tests.model_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the address is printed")
    parser.add_argument("--key", help="the only key that is taken")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port, options.key))


async def _serve(port: int, key: str | None) -> None:
    async with ModelServer(port=port, key=key, rule=answer_offline) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    main()
