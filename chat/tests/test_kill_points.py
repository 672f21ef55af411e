"""After a `kill -9` at each named point of a turn, the next server finishes the turn, and nothing is done twice."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from chat.memory.configured import DATABASE, FILE
from chat.tests.conversation_checks import Conversation
from chat.tests.kill_point_server import POINTS
from chat.tests.live import sign_in
from chat.tests.model_server import ModelServer
from chat.tests.page import Page
from chat.tests.scripted_orders import COMPLETE, CREATE, UPDATE, Order, OrderTaker
from config.tests.support import LiveDatabase, ServerProcess, database, free_port

pytestmark = pytest.mark.service

# Two parallel tools, then two that need their results.
FULL = Order("full", ((CREATE, CREATE), (COMPLETE, UPDATE)))
SINGLE = Order("single", ((CREATE,),))
SPOKEN = Order("spoken", ((CREATE,),), words=14, delay=0.06)
SLOW = Order("slow", words=14, delay=0.06)
NEXT = Order("next", ((CREATE,),))
LAST = Order("last", ((CREATE,),))

# For each point: the orders sent before the kill, and the steps that the model is asked for in all.
ORDERS = {
    "after the message is accepted": ([FULL], [1, 2, 3]),
    "after a queued turn is claimed": ([SLOW, NEXT], [1]),
    "before the model request": ([FULL], [1, 2, 3]),
    "during the stream": ([SLOW], [1, 1]),
    "during the stream with text saved": ([SLOW], [1, 1]),
    "after a response is journaled": ([FULL], [1, 2, 3]),
    "between two parallel tool calls": ([FULL], [1, 2, 3]),
    "after a tool's transaction": ([SINGLE], [1, 2]),
    "after the SDK adds calls and outputs": ([SINGLE], [1, 2]),
    "after the SDK adds the reply": ([SPOKEN], [1, 2]),
    "before the final commit": ([SPOKEN], [1, 2]),
    "after the final commit": ([FULL], [1, 2, 3]),
    "while pruning": ([SINGLE, NEXT], [1, 2]),
    "after pruning": ([SINGLE, NEXT], [1, 2]),
    "while pruning in the database": ([SINGLE, NEXT], [1, 2]),
    "while adding items in the database": ([SINGLE], [1, 2]),
}
# The points of the ordinary run; the other ones are long tests.
ALWAYS = frozenset(
    {
        "before the model request",
        "between two parallel tool calls",
        "before the final commit",
        "while adding items in the database",
    }
)
LIMIT = 200
SMALL_LIMIT = 6  # items: the second turn exceeds it, so that the first is pruned


class DyingServers:
    """A server for each session limit and each store; a server that is restarted after a kill serves the next point.

    Each has its own database: otherwise one would finish the turns of another that was killed.
    """

    def __init__(self, template: str, folder: Path) -> None:
        self.model_port = free_port()
        self.point = folder / "kill_point"
        self._template = template
        self._folder = folder
        self._servers: dict[tuple[int, str], ServerProcess] = {}
        self._started = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def running(self, limit: int, store: str) -> ServerProcess:
        """Return a running server that has no kill point."""
        self.point.unlink(missing_ok=True)
        if (limit, store) not in self._servers:
            self._servers[limit, store] = self._start(limit, store)
        server = self._servers[limit, store]
        if server.process.poll() is not None:
            server.restart(program=server.program)
        return server

    def _start(self, limit: int, store: str) -> ServerProcess:
        _, url = self._started.enter_context(database(os.environ["DATABASE_URL"], template=self._template))
        data_dir = self._folder / f"{limit} {store}"
        data_dir.mkdir()
        configured = {
            "KILL_POINT_FILE": str(self.point),
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.model_port}/v1",
            "AGENT_GUARDRAIL": "off",
            "AGENT_SESSION_MAX_MESSAGES": str(limit),
            "AGENT_SESSION_STORE": store,
        }
        server = ServerProcess(LiveDatabase(url), data_dir, program="chat.tests.kill_point_server", **configured)
        return self._started.enter_context(server)


@pytest.fixture(scope="module")
def servers(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DyingServers]:
    """The servers of these tests; each test leaves a running one to the next."""
    with DyingServers(_migrated_template, tmp_path_factory.mktemp("dying")) as dying:
        yield dying


@pytest.fixture
async def model(servers: DyingServers) -> AsyncIterator[tuple[ModelServer, OrderTaker]]:
    """The model's endpoint, which outlives the servers that call it."""
    taker = OrderTaker()
    async with ModelServer(rule=taker.answer, port=servers.model_port) as endpoint:
        yield endpoint, taker
    assert (endpoint.problems, taker.problems) == ([], [])


async def wait_until_killed(server: ServerProcess) -> None:
    """Wait until the server was killed at its point."""
    async with asyncio.timeout(20):
        while server.process.poll() is None:
            await asyncio.sleep(0.01)
    assert server.process.wait() == -signal.SIGKILL, server.output


async def wait_until_done(conversation: Conversation, turns: int, *, within: float) -> None:
    """Wait, without a request to the server, until the database reports all turns as done."""
    async with asyncio.timeout(within):
        while [status for (status,) in _statuses(conversation)] != ["done"] * turns:
            await asyncio.sleep(0.05)


def _statuses(conversation: Conversation) -> list[tuple[str]]:
    return conversation.database.query("SELECT status FROM chat_turn WHERE conversation_id = %s", conversation.id)


@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=[] if point in ALWAYS else [pytest.mark.long]) for point in POINTS]
)
async def test_turn_is_finished_after_a_kill(
    point: str, servers: DyingServers, model: tuple[ModelServer, OrderTaker]
) -> None:
    _, taker = model
    orders, expected_steps = ORDERS[point]
    limit = SMALL_LIMIT if "pruning" in point else LIMIT
    store = DATABASE if "in the database" in point else FILE
    server = await asyncio.to_thread(servers.running, limit, store)
    person = await asyncio.to_thread(sign_in, server)
    path = server.data_dir / "agent_sessions.db" if store == FILE else None
    conversation = Conversation(server.database, path, person.id, uuid.uuid4(), limit)
    async with Page(server.ws_url, server.url, person, conversation.id) as page:
        servers.point.write_text(point)
        for order in orders:
            await page.send(order.message)
        await wait_until_killed(server)
        if point == "after the message is accepted":
            assert not page.accepted, "the server is killed before it acknowledges the stored message"
        taker.held = {1}
        servers.running(limit, store)
        if point == "during the stream with text saved":
            kept = await page.text_kept_at_attempt(attempt=2)
            assert kept and SLOW.reply.startswith(kept), "the text stays on the page until the turn streams again"
        taker.held = set()
        await wait_until_done(conversation, len(orders), within=30)
        await page.wait_until_settled(len(orders), within=30)
        conversation.check(orders, taker, page)
        assert taker.requested_steps(orders[0].name) == expected_steps

        async with Page(server.ws_url, server.url, person, conversation.id) as fresh:
            for turn_id in page.turns:
                fresh.follow_turn(turn_id)
            await fresh.wait_until_settled(0, within=30)
            conversation.check_page(fresh)
            assert set(fresh.turns) == set(page.turns)

        await page.send(LAST.message)
        await page.wait_until_settled(len(orders) + 1, within=30)
        conversation.check([*orders, LAST], taker, page)
    conversation.check_metadata()
