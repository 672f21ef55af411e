"""Compare our turns with Chainlit's: time to the first and the last word, cost, and losses after a cut.

    uv run python -m benchmarks.turns [--rounds 4] [--quick] [--json FILE]
    uv run python -m benchmarks.turns --where

Both products use the same SDK, the same agent and the same model, and store their history in the same PostgreSQL; they
are measured in turn, each alone, by the same clients. Chainlit is installed into a temporary folder. `--where` splits
our turns into their stages instead. Prints the tables of docs/explanation/benchmarks-of-turns.md.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import turns_where
from benchmarks.turns_clients import WINDOW, Figures, Job
from benchmarks.turns_products import Chainlit, Product, Threadkeeper
from benchmarks.turns_report import Report, at
from config.runtime import embedded_postgres
from config.runtime.processes import spawn
from config.tests.support import ROOT, clean_environment, database, eventually, free_port


@dataclass(frozen=True, slots=True)
class Extent:
    """The extent of one round."""

    people: int = 100
    alone: int = 20
    crowds: int = 2
    cuts: int = 10
    cycles: int = 2000  # only in the last round, as are the idle sockets
    idle: int = 1000


QUICK = Extent(people=20, alone=10, crowds=1, cuts=5, cycles=200, idle=100)


@contextmanager
def endpoint() -> Iterator[tuple[str, int]]:
    """Run the model's endpoint; yield its address and its process id."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.turns_model", "--port", str(port)]
    process = spawn(command, env=clean_environment(), cwd=ROOT)
    try:
        eventually(lambda: _listens(port), what="the model's endpoint")
        yield f"http://127.0.0.1:{port}/v1", process.pid
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def ask_endpoint(url: str, streams: int) -> list[tuple[float, float]]:
    """Read this many answers at once from the endpoint; return the seconds to the first and the last byte of each."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")

    async def read() -> tuple[float, float]:
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/responses HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
        await reader.readuntil(b"token00")
        first = time.perf_counter() - started
        await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()
        return first, time.perf_counter() - started

    return await asyncio.gather(*(read() for _ in range(streams)))


def measure(product: Product, extent: Extent, **job: Any) -> Figures:
    """Start a product, run all clients, and stop it."""
    url, pid = product.start()
    try:
        if not product.cookies:
            product.sign_in(extent.people)
        before = product.replies()
        parameters = asdict(extent) | job
        parameters.pop("people")
        figures = _run_clients(Job(product=product.name, url=url, server=pid, cookies=product.cookies, **parameters))
    finally:
        product.stop()
    stored = product.replies() - before
    print(f"{product.name}: {stored} of {figures.replies} replies are stored;", end=" ")
    print(f"errors in its log so far: {product.error_count()}")
    for phase, times in figures.times.items():
        print(
            f"    {phase}: first delta {statistics.median(first for first, _ in times) * 1000:,.1f} ms (p50)",
            flush=True,
        )
    return figures


def _run_clients(job: Job) -> Figures:
    completed = subprocess.run(
        [sys.executable, "-m", "benchmarks.turns_clients"],
        input=json.dumps(asdict(job)),
        text=True,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    return Figures(**json.loads(completed.stdout))


def compare(folder: Path, server_url: str, options: argparse.Namespace) -> Report:
    """Measure both products in turn."""
    extent = QUICK if options.quick else Extent()
    with (
        endpoint() as (model_url, model),
        database(server_url) as (_, our_url),
        database(server_url) as (_, their_url),
    ):
        products: list[Product] = [
            Threadkeeper(our_url, folder / "threadkeeper", model_url),
            chainlit := Chainlit(their_url, folder / "chainlit", model_url),
        ]
        direct = [sorted(times) for times in zip(*asyncio.run(ask_endpoint(model_url, 100)), strict=True)]
        report = Report(
            {
                "chainlit": chainlit.version,
                "amount": asdict(extent),
                "window": WINDOW,
                "endpoint": [at(times, 0.95) * 1000 for times in direct],
            }
        )
        processes = {"model": model, "postgres": _postmaster(folder / "postgres")}
        for number in range(options.rounds):
            for product in products:
                print(f"round {number + 1}: {product.name}", flush=True)
                this_round = extent if number == options.rounds - 1 else replace(extent, cycles=0)
                report.add(product.name, measure(product, this_round, seed=number, **processes))
    return report


def where(folder: Path, server_url: str, options: argparse.Namespace) -> Iterator[str]:
    """Measure the stages of our turns; yield the table."""
    extent = QUICK if options.quick else Extent()
    with endpoint() as (model_url, _), database(server_url) as (_, url):
        product = Threadkeeper(url, folder / "threadkeeper", model_url)
        product.program = turns_where.__name__
        address, _ = product.start()
        try:
            product.sign_in(extent.people)
            samples = turns_where.clients(
                url=address, cookies=product.cookies, alone=extent.alone, crowds=extent.crowds
            )
        finally:
            product.stop()
        marks = json.loads((product.folder / "marks.json").read_text())
    yield from turns_where.lines(turns_where.stages(samples, marks))


def _postmaster(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().split()[0])


def main() -> None:
    """Parse the command line, measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="few of everything, to test the benchmark itself")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--where", action="store_true", help="measure the stages of our turns instead")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="threadkeeper-turns-"))
    postgres = embedded_postgres.start(folder / "postgres")
    try:
        if options.where:
            print("\n".join(where(folder, postgres.url, options)))
            return
        report = compare(folder, postgres.url, options)
        report.print()
        if options.json:
            options.json.write_text(json.dumps(report.as_json(), indent=1))
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
