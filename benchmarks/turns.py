"""A turn of ours beside a turn of Chainlit's: how long until the first word and the last, what it costs, what is lost.

    uv run python -m benchmarks.turns [--rounds 4] [--quick] [--json FILE]
    uv run python -m benchmarks.turns --where

Both products answer with the same SDK, the same agent and the same model, and keep their history in the same
PostgreSQL; they are measured in turn, each alone, over the same clients. Chainlit is installed for it into a temporary
folder. `--where` splits a turn of ours into its parts instead. Prints the tables that
docs/explanation/benchmarks-of-turns.md keeps.
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
class Amount:
    """How much is measured in a round."""

    people: int = 100
    alone: int = 20
    crowds: int = 2
    cuts: int = 10
    cycles: int = 2000  # in the last round, as the idle sockets
    idle: int = 1000


QUICK = Amount(people=20, alone=10, crowds=1, cuts=5, cycles=200, idle=100)


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
    """Read that many answers at once, straight from the endpoint; return the seconds to the first and the last byte."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")

    async def read() -> tuple[float, float]:
        begun = time.perf_counter()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/responses HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
        await reader.readuntil(b"token00")
        first = time.perf_counter() - begun
        await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()
        return first, time.perf_counter() - begun

    return await asyncio.gather(*(read() for _ in range(streams)))


def measure(product: Product, amount: Amount, **job: Any) -> Figures:
    """Start a product, let everybody talk with it, and stop it."""
    url, pid = product.start()
    try:
        if not product.cookies:
            product.sign_in(amount.people)
        before = product.replies()
        given = asdict(amount) | job
        given.pop("people")
        figures = _talk(Job(product=product.name, url=url, server=pid, cookies=product.cookies, **given))
    finally:
        product.stop()
    kept = product.replies() - before
    print(f"{product.name}: {kept} of {figures.said} replies are in its record;", end=" ")
    print(f"errors in its log so far: {product.troubles()}")
    for phase, times in figures.times.items():
        print(
            f"    {phase}: first delta {statistics.median(first for first, _ in times) * 1000:,.1f} ms (p50)",
            flush=True,
        )
    return figures


def _talk(job: Job) -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.turns_clients"],
        input=json.dumps(asdict(job)),
        text=True,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    return Figures(**json.loads(done.stdout))


def compare(folder: Path, server_url: str, options: argparse.Namespace) -> Report:
    """Measure both products in turn."""
    amount = QUICK if options.quick else Amount()
    with (
        endpoint() as (model_url, model),
        database(server_url) as (_, our_url),
        database(server_url) as (_, their_url),
    ):
        products: list[Product] = [
            Threadkeeper(our_url, folder / "threadkeeper", model_url),
            chainlit := Chainlit(their_url, folder / "chainlit", model_url),
        ]
        straight = [sorted(times) for times in zip(*asyncio.run(ask_endpoint(model_url, 100)), strict=True)]
        report = Report(
            {
                "chainlit": chainlit.version,
                "amount": asdict(amount),
                "window": WINDOW,
                "endpoint": [at(times, 0.95) * 1000 for times in straight],
            }
        )
        processes = {"model": model, "postgres": _postmaster(folder / "postgres")}
        for number in range(options.rounds):
            for product in products:
                print(f"round {number + 1}: {product.name}", flush=True)
                now = amount if number == options.rounds - 1 else replace(amount, cycles=0)
                report.add(product.name, measure(product, now, seed=number, **processes))
    return report


def where(folder: Path, server_url: str, options: argparse.Namespace) -> Iterator[str]:
    """Time the parts of our turns; yield the table."""
    amount = QUICK if options.quick else Amount()
    with endpoint() as (model_url, _), database(server_url) as (_, url):
        product = Threadkeeper(url, folder / "threadkeeper", model_url)
        product.program = turns_where.__name__
        address, _ = product.start()
        try:
            product.sign_in(amount.people)
            seen = turns_where.clients(url=address, cookies=product.cookies, alone=amount.alone, crowds=amount.crowds)
        finally:
            product.stop()
        marks = json.loads((product.folder / "marks.json").read_text())
    yield from turns_where.lines(turns_where.stages(seen, marks))


def _postmaster(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().split()[0])


def main() -> None:
    """Measure as the command line says, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="few of everything: to try the benchmark itself")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--where", action="store_true", help="where the time of a turn of ours goes")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="threadkeeper-turns-"))
    server_of_record = embedded_postgres.start(folder / "postgres")
    try:
        if options.where:
            print("\n".join(where(folder, server_of_record.url, options)))
            return
        report = compare(folder, server_of_record.url, options)
        report.print()
        if options.json:
            options.json.write_text(json.dumps(report.as_json(), indent=1))
    finally:
        server_of_record.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
