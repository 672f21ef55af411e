"""Search: no query is expensive for anybody else."""

import asyncio
import contextlib

import httpx
import pytest

from config.tests.attack.clients import Person, new_person
from config.tests.attack.marks import on_product
from config.tests.attack.product import Product, Watch, private_memory

pytestmark = on_product

WORDS = "abcdefghijklmnopqrstuvwxyz"
# A message of 10,000 characters over which the snippet of the first query took minutes and a gigabyte.
LONG_MESSAGE = "xa " * 3_000 + "xb xc"
EXPENSIVE = {
    "and, or": ("xa xb or " * 30)[:200],
    "and": "xa " * 66,
    "or": ("xa or xb or " * 20)[:200],
    "26 words": " or ".join(f"x{letter}" for letter in WORDS)[:200],
    "phrases": ('"xa xa" or ' * 30)[:198],
    "not": ("xa -xz " * 40)[:200],
    "one letter": "x",
}


def seed(person: Person) -> None:
    """Let somebody say something long."""
    with person.program() as program:
        thread = person.new_thread()
        said = program.post(f"/api/chatkit/threads/{thread}/messages", json={"text": LONG_MESSAGE})
        assert said.status_code == 200, said.text


@pytest.fixture(scope="module")
def searchers(product: Product) -> list[Person]:
    people = [new_person(product, "searcher") for _ in range(2)]
    for one in people:
        seed(one)
    return people


def end_queries(product: Product) -> None:
    """End what PostgreSQL still does for the searches, so that a failed attack does not stay."""
    product.database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%%tsquery%%'"
    )


async def search_at_once(person: Person, queries: list[str], seconds: float) -> list[int]:
    """Search with all queries at once; return the statuses, 0 for what was not answered in time."""

    async def one(client: httpx.AsyncClient, query: str) -> int:
        with contextlib.suppress(httpx.TransportError):
            return (await client.get("/api/search", params={"q": query})).status_code
        return 0

    async with person.many_programs(timeout=seconds) as client:
        return list(await asyncio.gather(*(one(client, query) for query in queries)))


async def test_expensive_queries_of_two_people_at_once(product: Product, searchers: list[Person]) -> None:
    queries = [*EXPENSIVE.values()]
    memory = Watch(lambda: private_memory(product.postgres), every=0.1)
    try:
        with memory, Watch(product.healthz_seconds) as health:
            statuses = await asyncio.gather(*(search_at_once(one, queries, 20) for one in searchers))
            # Nobody else waits.
            assert await asyncio.to_thread(product.answers, timeout=20)
    finally:
        end_queries(product)
    assert {*statuses[0], *statuses[1]} <= {200, 400, 422, 429}, statuses
    assert 200 in statuses[0] and 200 in statuses[1]
    assert memory.growth < 200, f"{memory.growth:.0f} MB"
    health.check_latency()
