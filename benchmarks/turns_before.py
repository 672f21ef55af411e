"""Compare the turns of this tree with those of another checkout, such as an earlier version.

    uv run python -m benchmarks.turns_before CHECKOUT [--pairs 8] [--turns 40] [--people 20]

Each checkout runs `up --no-worker` with its own environment (run `uv sync` there first), database and data folder, with
the same model. They alternate, and this one is first in every second pair. Prints the medians of the pairs' ratios:
time to the first delta, time to the end, processor time of the server.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.turns import endpoint
from benchmarks.turns_clients import Tree
from benchmarks.turns_pages import OurPage, Reply
from benchmarks.turns_products import MODEL
from config.runtime import embedded_postgres
from config.runtime.processes import spawn
from config.tests.support import PASSWORD, ROOT, clean_environment, database, eventually, free_port

EMAIL = "reader@example.com"
WARM_UP = 10  # turns
START = 120  # seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds of one run: medians of its turns, and the processor time per turn."""

    first: float
    end: float
    cpu: float


@contextmanager
def server(checkout: Path, url: str, folder: Path, model_url: str) -> Iterator[tuple[str, str, int]]:
    """Run a checkout's product; yield its address, a cookie, and the id of its server process."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    environment = {
        **clean_environment(),
        "DATABASE_URL": url,
        "DATA_DIR": str(folder),
        "ADMIN_EMAIL": EMAIL,
        "ADMIN_PASSWORD": PASSWORD,
        "OPENAI_BASE_URL": model_url,
        "AGENT_MODEL": MODEL,
        "AGENT_GUARDRAIL": "off",
        "MESSAGES_PER_MINUTE": "1000000",
        "SOCKETS_PER_USER": "1000",
    }
    environment.pop("VIRTUAL_ENV", None)
    command = [str(checkout / ".venv/bin/python"), "manage.py", "up", "--no-worker", "--port", str(port)]
    with open(folder.with_suffix(".log"), "ab") as output:
        process = spawn(command, env=environment, cwd=checkout, output=output)
    try:
        eventually(lambda: _is_ready(address), within=START, what=f"the product of {checkout}")
        yield address, _sign_in(address), _server_of(process.pid)
    finally:
        process.terminate()
        process.wait()


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _sign_in(address: str) -> str:
    with httpx.Client(base_url=address, follow_redirects=True) as browser:
        browser.get("/accounts/login/")
        form = {"username": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        browser.post("/accounts/login/", data=form).raise_for_status()
        return f"sessionid={browser.cookies['sessionid']}"


def _server_of(supervisor: int) -> int:
    for child in psutil.Process(supervisor).children(recursive=True):
        if "config.runtime.asgi_server" in child.cmdline():
            return child.pid
    raise LookupError("The supervisor has no server.")


async def measure(address: str, cookie: str, pid: int, *, turns: int, people: int) -> Figures:
    """Send messages from one client after another, then from all at once, equally many."""
    process = Tree(pid)
    pages = [OurPage(address, cookie) for _ in range(people)]
    for page in pages:
        await page.open()
    for n in range(WARM_UP):
        await pages[n % people].send_and_read("hello")
    before, replies = process.cpu(), list[Reply]()
    for n in range(turns):
        replies.append(await pages[n % people].send_and_read(f"message {n}"))
    for _ in range(max(1, turns // people)):
        replies += await asyncio.gather(*(page.send_and_read("and now?") for page in pages))
    cpu = process.cpu() - before
    for page in pages:
        await page.close()
    assert all(reply.end for reply in replies), "a reply did not end"
    return Figures(
        statistics.median(reply.to_first for reply in replies[:turns]),
        statistics.median(reply.to_end for reply in replies[:turns]),
        cpu / len(replies),
    )


def compare(other: Path, pairs: int, turns: int, people: int) -> None:
    """Measure both in turn, and print the ratios."""
    folder = Path(tempfile.mkdtemp(prefix="threadkeeper-before-"))
    postgres = embedded_postgres.start(folder / "postgres")
    try:
        with endpoint() as (model_url, _), database(postgres.url) as (_, url), database(postgres.url) as (_, other_url):
            instances = {ROOT: (url, folder / "now"), other: (other_url, folder / "before")}
            for _, data in instances.values():
                data.mkdir()
            results: dict[Path, list[Figures]] = {ROOT: [], other: []}
            for n in range(pairs):
                for checkout in (ROOT, other) if n % 2 else (other, ROOT):
                    with server(checkout, *instances[checkout], model_url) as (address, cookie, pid):
                        figures = asyncio.run(measure(address, cookie, pid, turns=turns, people=people))
                    results[checkout].append(figures)
                    print(
                        f"pair {n + 1}: {'before' if checkout == other else 'now'}: {_in_ms(figures)},"
                        f" load {os.getloadavg()[0]:.1f}",
                        flush=True,
                    )
            print(*_lines(results[ROOT], results[other]), sep="\n")
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _in_ms(figures: Figures) -> str:
    first, end, cpu = (1000 * seconds for seconds in (figures.first, figures.end, figures.cpu))
    return f"first {first:.1f} ms, end {end:.1f} ms, processor {cpu:.1f} ms a turn"


def _lines(now: Sequence[Figures], before: Sequence[Figures]) -> Iterator[str]:
    yield f"{time.strftime('%Y-%m-%d')}, {len(now)} pairs, {os.cpu_count()} cores; now as a share of before"
    for name in ("first", "end", "cpu"):
        ours, theirs = ([getattr(run, name) for run in figures] for figures in (now, before))
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        sums = sum(ours) / sum(theirs)
        yield f"{name}: median {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), of all {sums:.3f}"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns_before", description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--turns", type=int, default=40, help="sequential turns; as many again at once")
    parser.add_argument("--people", type=int, default=20)
    options = parser.parse_args()
    compare(options.checkout.resolve(), options.pairs, options.turns, options.people)


if __name__ == "__main__":
    main()
