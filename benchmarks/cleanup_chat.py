"""People who chat with a server over its websocket: a process of its own.

    python -m benchmarks.cleanup_chat

Reads a job as a line of JSON. Each person sends a message, reads the reply, pauses, and goes on in the same
conversation. Ends with its input, and prints for each turn when it was sent and how long its first token took, in
seconds; a turn that failed took none.
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
TOGETHER = 10  # connections that are opened at the same moment


@dataclass(frozen=True, slots=True)
class Job:
    """The server's address, and the cookie of each person."""

    url: str
    cookies: list[str]


Turn = tuple[float, float | None]  # Unix time, seconds


async def chat(job: Job) -> list[Turn]:
    """Chat until the input ends."""
    turns: list[Turn] = []
    over, opening = asyncio.Event(), asyncio.Semaphore(TOGETHER)

    async def person(number: int) -> None:
        chosen, page = random.Random(number), OurPage(job.url, job.cookies[number])
        async with opening:
            await page.open()
        await asyncio.sleep(chosen.uniform(0, PAUSE))
        while not over.is_set():
            sent = time.time()
            try:
                said = await page.say("and another thing")
                turns.append((sent, said.to_first if said.first and said.end else None))
            except Exception as error:  # noqa: BLE001 - whatever goes wrong is counted
                print(f"A turn failed: {error!r}", file=sys.stderr)
                turns.append((sent, None))
                page = OurPage(job.url, job.cookies[number])
                await page.open()
            await asyncio.sleep(chosen.uniform(0.5, 1.5) * PAUSE)
        await page.close()

    people = [asyncio.create_task(person(number)) for number in range(len(job.cookies))]
    await asyncio.to_thread(sys.stdin.read)
    over.set()
    await asyncio.gather(*people)
    return turns


def main() -> None:
    """Chat and print."""
    job = Job(**json.loads(sys.stdin.readline()))
    gc.freeze()
    json.dump(asyncio.run(chat(job)), sys.stdout)


if __name__ == "__main__":
    main()
