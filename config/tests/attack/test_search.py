"""Search: expensive queries do not slow down other users."""

import asyncio
import contextlib

import httpx
import pytest

from config.tests.attack.clients import Person, new_person
from config.tests.attack.marks import product_group
from config.tests.attack.product import Product, Watch, private_memory

pytestmark = product_group

WORDS = "abcdefghijklmnopqrstuvwxyz"
# The snippet of the first query in this message of 10,000 characters once took minutes and a gigabyte.
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
    """Store a long message of a person."""
    with person.program() as program:
        thread = person.new_thread()
        response = program.post(f"/api/chatkit/threads/{thread}/messages", json={"text": LONG_MESSAGE})
        assert response.status_code == 200, response.text


@pytest.fixture(scope="module")
def searchers(product: Product) -> list[Person]:
    people = [new_person(product, "searcher") for _ in range(2)]
    for person in people:
        seed(person)
    return people


def terminate_searches(product: Product) -> None:
    """Terminate searches that PostgreSQL still runs, so that a failed attack does not affect later tests."""
    product.database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%%tsquery%%'"
    )


async def search_at_once(person: Person, queries: list[str], seconds: float) -> list[int]:
    """Send all queries at once; return the status codes, 0 for a timeout."""

    async def search(client: httpx.AsyncClient, query: str) -> int:
        with contextlib.suppress(httpx.TransportError):
            return (await client.get("/api/search", params={"q": query})).status_code
        return 0

    async with person.many_programs(timeout=seconds) as client:
        return list(await asyncio.gather(*(search(client, query) for query in queries)))


async def test_concurrent_expensive_queries_do_not_block_server(product: Product, searchers: list[Person]) -> None:
    queries = [*EXPENSIVE.values()]
    memory = Watch(lambda: private_memory(product.postgres), every=0.1)
    try:
        with memory, Watch(product.healthz_seconds) as health:
            statuses = await asyncio.gather(*(search_at_once(person, queries, 20) for person in searchers))
            # Other requests are not delayed.
            assert await asyncio.to_thread(product.responds, timeout=20)
    finally:
        terminate_searches(product)
    assert {*statuses[0], *statuses[1]} <= {200, 400, 422, 429}, statuses
    assert 200 in statuses[0] and 200 in statuses[1]
    assert memory.growth < 200, f"{memory.growth:.0f} MB"
    health.check_latency()
