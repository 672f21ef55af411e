"""Compare the session store of this tree with that of another checkout, such as an earlier version.

    uv run python -m benchmarks.session_store_before CHECKOUT [--pairs 6]

Each runs 100 conversations of 20 turns in a file of 1,000 sessions, in a process of its own with its own environment
(run `uv sync` there first), in turn. Prints the medians of the pairs' ratios: processor time and elapsed time.
"""

import argparse
import json
import statistics
import subprocess
from pathlib import Path

from config.tests.support import ROOT, clean_environment

# The program of both checkouts; each imports its own modules, so their names have to stay the same.
PROGRAM = """
import asyncio, json, tempfile, time
from pathlib import Path
from benchmarks.session_crowds import TURNS, crowd
from benchmarks.session_peers import Ours, prepare, write_file

async def run(path):
    peer, names = Ours(path), [f"conversation {n}" for n in range(100)]
    await crowd(peer, names, 5)
    begun = time.process_time(), time.perf_counter()
    result = await crowd(peer, names, TURNS)
    assert len(result.writes) + result.failed == 100 * TURNS
    print(json.dumps([time.process_time() - begun[0], time.perf_counter() - begun[1]]))
    await peer.close()

with tempfile.TemporaryDirectory() as folder:
    prepare(Path(folder))
    write_file(path := Path(folder, "sessions.db"), 1000)
    asyncio.run(run(path))
"""


def measure(checkout: Path) -> list[float]:
    """Return the processor seconds and the elapsed seconds of a run."""
    command = [str(checkout / ".venv/bin/python"), "-c", PROGRAM]
    environment = clean_environment(PYTHONPATH=str(checkout))
    environment.pop("VIRTUAL_ENV", None)
    completed = subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True, text=True)
    seconds: list[float] = json.loads(completed.stdout)
    return seconds


def main() -> None:
    """Measure both in turn, and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.session_store_before", description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--pairs", type=int, default=6)
    options = parser.parse_args()
    other = options.checkout.resolve()
    results: dict[Path, list[list[float]]] = {ROOT: [], other: []}
    for n in range(options.pairs):
        for checkout in (ROOT, other) if n % 2 else (other, ROOT):
            results[checkout].append(measure(checkout))
    for n, what in enumerate(("processor time", "time")):
        ratios = [now[n] / before[n] for now, before in zip(results[ROOT], results[other], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{what}: median {statistics.median(ratios):.3f} of before ({spread})")


if __name__ == "__main__":
    main()
