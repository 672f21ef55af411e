"""A turn of this tree beside a turn of another checkout of the same product, such as that of an earlier version.

    uv run python -m benchmarks.turns_before CHECKOUT [--pairs 8] [--turns 40] [--people 20]

Each checkout runs `up --no-worker` with its own environment (`uv sync` there first), its own database and its own data
folder, behind the same model. They take turns, this one first in every second pair. Prints the medians of the pairs'
ratios: time to the first piece, time to the end, processor time of the server.
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
from benchmarks.turns_pages import OurPage, Said
from benchmarks.turns_products import MODEL
from config.runtime import embedded_postgres
from config.runtime.processes import spawn
from config.tests.support import PASSWORD, ROOT, clean_environment, database, eventually, free_port

EMAIL = "reader@example.com"
WARM_UP = 10  # turns
START = 120  # seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds of one run: medians of its turns, and the processor time of a turn."""

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


async def talk(address: str, cookie: str, pid: int, *, turns: int, people: int) -> Figures:
    """Let one person speak after another, then all at once, as often."""
    process = Tree(pid)
    pages = [OurPage(address, cookie) for _ in range(people)]
    for page in pages:
        await page.open()
    for n in range(WARM_UP):
        await pages[n % people].say("hello")
    before, said = process.cpu(), list[Said]()
    for n in range(turns):
        said.append(await pages[n % people].say(f"message {n}"))
    for _ in range(max(1, turns // people)):
        said += await asyncio.gather(*(page.say("and now?") for page in pages))
    spent = process.cpu() - before
    for page in pages:
        await page.close()
    assert all(one.end for one in said), "a reply did not end"
    return Figures(
        statistics.median(one.to_first for one in said[:turns]),
        statistics.median(one.to_end for one in said[:turns]),
        spent / len(said),
    )


def compare(there: Path, pairs: int, turns: int, people: int) -> None:
    """Measure both in turn, and print the ratios."""
    folder = Path(tempfile.mkdtemp(prefix="threadkeeper-before-"))
    postgres = embedded_postgres.start(folder / "postgres")
    try:
        with endpoint() as (model_url, _), database(postgres.url) as (_, url), database(postgres.url) as (_, other):
            places = {ROOT: (url, folder / "now"), there: (other, folder / "before")}
            for _, data in places.values():
                data.mkdir()
            found: dict[Path, list[Figures]] = {ROOT: [], there: []}
            for n in range(pairs):
                for checkout in (ROOT, there) if n % 2 else (there, ROOT):
                    with server(checkout, *places[checkout], model_url) as (address, cookie, pid):
                        figures = asyncio.run(talk(address, cookie, pid, turns=turns, people=people))
                    found[checkout].append(figures)
                    print(
                        f"pair {n + 1}: {'before' if checkout == there else 'now'}: {_in_ms(figures)},"
                        f" load {os.getloadavg()[0]:.1f}",
                        flush=True,
                    )
            print(*_lines(found[ROOT], found[there]), sep="\n")
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _in_ms(figures: Figures) -> str:
    first, end, cpu = (1000 * seconds for seconds in (figures.first, figures.end, figures.cpu))
    return f"first {first:.1f} ms, end {end:.1f} ms, processor {cpu:.1f} ms a turn"


def _lines(now: Sequence[Figures], before: Sequence[Figures]) -> Iterator[str]:
    yield f"{time.strftime('%Y-%m-%d')}, {len(now)} pairs, {os.cpu_count()} cores; now as a share of before"
    for name in ("first", "end", "cpu"):
        ours, theirs = ([getattr(one, name) for one in figures] for figures in (now, before))
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        sums = sum(ours) / sum(theirs)
        yield f"{name}: median {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), of all {sums:.3f}"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns_before", description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--turns", type=int, default=40, help="of one person after another; as many again at once")
    parser.add_argument("--people", type=int, default=20)
    options = parser.parse_args()
    compare(options.checkout.resolve(), options.pairs, options.turns, options.people)


if __name__ == "__main__":
    main()
