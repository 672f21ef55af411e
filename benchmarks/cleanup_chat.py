"""Clients that chat with a server over its websocket, in a process of their own.

    python -m benchmarks.cleanup_chat

Reads a job as a line of JSON. Each client repeatedly sends a message, reads the reply and pauses, in one conversation.
Stops at the end of its input, and prints the start and the time to the first token of each turn, in seconds; the time
of a failed turn is null.
"""

import asyncio
import gc
import json
import random
import sys
import time
from dataclasses import dataclass

from benchmarks.turns_pages import OurPage

PAUSE = 8.0  # seconds, on average
PARALLEL_CONNECTS = 10  # connections opened at the same time


@dataclass(frozen=True, slots=True)
class Job:
    """The server's address, and the cookie of each client."""

    url: str
    cookies: list[str]


Turn = tuple[float, float | None]  # start in Unix time; seconds to the first token, None if it failed


async def chat(job: Job) -> list[Turn]:
    """Chat until the input ends."""
    turns: list[Turn] = []
    stopped, opening = asyncio.Event(), asyncio.Semaphore(PARALLEL_CONNECTS)

    async def client(number: int) -> None:
        rng, page = random.Random(number), OurPage(job.url, job.cookies[number])
        async with opening:
            await page.open()
        await asyncio.sleep(rng.uniform(0, PAUSE))
        while not stopped.is_set():
            sent = time.time()
            try:
                reply = await page.send_and_read("and another thing")
                turns.append((sent, reply.to_first if reply.first and reply.end else None))
            except Exception as error:  # noqa: BLE001 - every failure is counted
                print(f"A turn failed: {error!r}", file=sys.stderr)
                turns.append((sent, None))
                page = OurPage(job.url, job.cookies[number])
                await page.open()
            await asyncio.sleep(rng.uniform(0.5, 1.5) * PAUSE)
        await page.close()

    clients = [asyncio.create_task(client(number)) for number in range(len(job.cookies))]
    await asyncio.to_thread(sys.stdin.read)
    stopped.set()
    await asyncio.gather(*clients)
    return turns


def main() -> None:
    """Chat and print."""
    job = Job(**json.loads(sys.stdin.readline()))
    gc.freeze()
    json.dump(asyncio.run(chat(job)), sys.stdout)


if __name__ == "__main__":
    main()
