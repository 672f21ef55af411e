"""People who chat while somebody else cleans up: a process of its own, over the real session store.

    python -m benchmarks.cleanup_chat FILE IDS

Each of them reads a session of theirs and adds two items, rests, and goes on with another one. Ends with its input, and
prints what every read and write took: when it began (the machine's monotonic clock) and for how long, in seconds.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field
from pathlib import Path

PEOPLE = 20
REST = 0.4  # seconds, about fifty turns a second for all of them

Timing = tuple[float, float]


@dataclass
class Told:
    """When each read and each write began, and how long it took."""

    reads: list[Timing] = field(default_factory=list)
    writes: list[Timing] = field(default_factory=list)
    failed: int = 0


async def chat(path: Path, ids: list[str]) -> Told:
    """Chat until the input ends."""
    from chat.memory.file_store import FileStore
    from chat.memory.statements import Append, Fence

    told, store, over = Told(), FileStore(path), asyncio.Event()
    said = [{"role": "user", "content": "and another thing " * 10}, {"role": "assistant", "content": "Done. " * 30}]

    async def timed(work: Awaitable[object], into: list[Timing]) -> None:
        begun = time.monotonic()
        await work
        into.append((begun, time.monotonic() - begun))

    async def person(number: int) -> None:
        chosen, theirs = random.Random(number), ids[number::PEOPLE]
        turn = 10
        while not over.is_set():
            turn += 1
            session_id = chosen.choice(theirs)
            try:
                await timed(store.read(session_id), told.reads)
                await timed(store.write(Append(session_id, Fence(turn, 1), said)), told.writes)
            except Exception:  # noqa: BLE001 - whatever the store raises is counted
                told.failed += 1
            await asyncio.sleep(chosen.uniform(0.5, 1.5) * REST)

    people = [asyncio.create_task(person(number)) for number in range(PEOPLE)]
    await asyncio.to_thread(sys.stdin.read)
    over.set()
    await asyncio.gather(*people)
    await store.close()
    return told


def main() -> None:
    """Chat and print."""
    ids = json.loads(Path(sys.argv[2]).read_text())
    print(json.dumps(asdict(asyncio.run(chat(Path(sys.argv[1]), ids)))))


if __name__ == "__main__":
    main()
