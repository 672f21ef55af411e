"""A server process hangs longer than its lease: another ends its turn, and it changes nothing when it wakes."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from chat.memory.configured import DATABASE, FILE
from chat.memory.identity import SessionId
from chat.tests.conversation_checks import Conversation
from chat.tests.live import sign_in
from chat.tests.model_server import ModelServer
from chat.tests.page import Page
from chat.tests.scripted_orders import CREATE, Order, OrderTaker
from chat.tests.session_file import locked
from config.tests.support import LiveDatabase, ServerProcess, database, free_port

pytestmark = [pytest.mark.service, pytest.mark.long]

TALE = Order("tale", ((CREATE, CREATE),), words=20, delay=0.05)
NEXT = Order("next", ((CREATE,),))


@dataclass
class ServerPair:
    """Two servers on one database and one session store, and a conversation whose turn the first one runs."""

    hung: ServerProcess
    other: ServerProcess
    model: OrderTaker
    conversation: Conversation
    hung_page: Page
    other_page: Page

    async def until(self, condition: Callable[[], Any], *, within: float = 15) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.02)

    def steps(self) -> int:
        """Count the responses in the journal."""
        ((steps,),) = self.conversation.database.query(
            "SELECT count(*) FROM chat_turnstep s JOIN chat_turn t ON t.id = s.turn_id WHERE t.conversation_id = %s",
            self.conversation.id,
        )
        return int(steps)

    def waits_for_a_lock(self) -> bool:
        """Return whether a statement waits for a lock."""
        waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(self.conversation.database.query(waiting))

    def has_open_transaction(self) -> bool:
        """Return whether another connection runs a statement, or is idle in a transaction."""
        is_open = "datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"
        return bool(self.conversation.database.query(f"SELECT pid FROM pg_stat_activity WHERE {is_open}"))  # noqa: S608

    def suspend(self) -> None:
        """Send SIGSTOP to the first server."""
        os.kill(self.hung.process.pid, signal.SIGSTOP)

    def end_lease(self) -> None:
        """Let the lease expire now."""
        # A transaction of the suspended server must not block others for long.
        with psycopg.connect(self.conversation.database.url, options="-c lock_timeout=20s") as connection:
            connection.execute("UPDATE chat_turn SET lease_until = now() - interval '1 second'")

    async def wait_for_the_other(self, *, within: float) -> None:
        """Wait until the other server has finished the turn."""
        await self.other_page.wait_until_settled(0, within=within)
        ended = "SELECT status, attempt FROM chat_turn WHERE conversation_id = %s"
        assert self.conversation.database.query(ended, self.conversation.id) == [("done", 2)]

    async def wake(self) -> None:
        """Send SIGCONT to the first server, and wait until it logs the turn that it lost."""
        (turn_id,) = self.other_page.turns
        os.kill(self.hung.process.pid, signal.SIGCONT)
        await self.until(lambda: turn_id in self.hung.output)

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows that are stored for the conversation."""
        database, conversation_id = self.conversation.database, self.conversation.id
        rows = {
            table: database.query(f"SELECT * FROM {table} WHERE conversation_id = %s ORDER BY id", conversation_id)  # noqa: S608
            for table in ("chat_turn", "chat_message", "chat_agentsession")
        }
        for table in ("chat_turnstep", "chat_toolcall"):
            rows[table] = database.query(f"SELECT * FROM {table} ORDER BY id")  # noqa: S608
        rows["chat_task"] = database.query("SELECT * FROM chat_task ORDER BY id")
        rows["chat_conversation"] = database.query("SELECT * FROM chat_conversation WHERE id = %s", conversation_id)
        for table in ("agent_sessions", "agent_messages", "threadkeeper_turns"):
            rows[table] = self.conversation.session_rows(f"SELECT * FROM {table} WHERE session_id = ?")  # noqa: S608
        return rows


@dataclass(frozen=True)
class Servers:
    """Two servers on one database and one session store, and the port of their model."""

    hung: ServerProcess
    other: ServerProcess
    model_port: int
    store: str


@pytest.fixture(scope="module")
def servers(
    _migrated_template: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Servers]:
    """Start the servers that these tests share; no test ends one."""
    store: str = getattr(request, "param", FILE)
    port, data_dir = free_port(), tmp_path_factory.mktemp("suspended")
    configured = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "AGENT_GUARDRAIL": "off",
        "AGENT_SESSION_STORE": store,
    }
    with (
        database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url),
        ServerProcess(LiveDatabase(url), data_dir, **configured) as hung,
        ServerProcess(LiveDatabase(url), data_dir, **configured) as other,
    ):
        yield Servers(hung, other, port, store)


@pytest.fixture
async def pair(servers: Servers) -> AsyncIterator[ServerPair]:
    """Open a conversation at both servers."""
    taker = OrderTaker()
    taker.held = {1}
    hung, other = servers.hung, servers.other
    async with ModelServer(rule=taker.answer, port=servers.model_port) as endpoint:
        person = await asyncio.to_thread(sign_in, hung)
        path = hung.data_dir / "agent_sessions.db" if servers.store == FILE else None
        conversation = Conversation(hung.database, path, person.id, uuid.uuid4())
        async with Page(hung.ws_url, hung.url, person, conversation.id) as hung_page:
            await hung_page.send(TALE.message)
            other_page = Page(other.ws_url, other.url, person, conversation.id)
            pair = ServerPair(hung, other, taker, conversation, hung_page, other_page)
            await pair.until(lambda: hung_page.accepted)
            async with other_page:
                try:
                    yield pair
                finally:
                    os.kill(hung.process.pid, signal.SIGCONT)
    assert (endpoint.problems, taker.problems) == ([], [])


# Each yields a function that returns whether the first server has reached the state in which it is suspended.


@contextmanager
def model_streaming(pair: ServerPair) -> Iterator[Callable[[], bool]]:
    """The server reads the model's reply."""
    pair.model.held = set()
    yield lambda: pair.model.requested_steps(TALE.name) == [1, 2]


@contextmanager
def tool_in_transaction(pair: ServerPair) -> Iterator[Callable[[], bool]]:
    """A tool call holds the turn's lock and has written its changes, but not committed them."""
    with psycopg.connect(pair.conversation.database.url) as gate:
        gate.execute("LOCK TABLE chat_toolcall IN SHARE MODE")
        pair.model.held = set()
        yield pair.waits_for_a_lock


@contextmanager
def session_to_be_written(pair: ServerPair) -> Iterator[Callable[[], bool]]:
    """The reply is complete and is about to be written into the session store."""
    path = pair.conversation.sessions
    with locked(path) if path else locked_row(pair.conversation):
        pair.model.held = set()
        yield lambda: pair.steps() == 2 and (path is not None or pair.waits_for_a_lock())


@contextmanager
def locked_row(conversation: Conversation) -> Iterator[None]:
    """Hold the lock that each write to a session in the database needs."""
    with psycopg.connect(conversation.database.url) as gate:
        session_id = str(SessionId(conversation.user_id, conversation.id))
        gate.execute("SELECT FROM agent_sessions WHERE session_id = %s FOR NO KEY UPDATE", [session_id])
        yield


MOMENTS = {
    "while the model streams": model_streaming,
    "during a tool call": tool_in_transaction,
    "before the session is written": session_to_be_written,
}
Moment = Callable[[ServerPair], AbstractContextManager[Callable[[], bool]]]


async def check_woken_server_changes_nothing(pair: ServerPair, moment: Moment, *, wait_for_lease: bool) -> None:
    if moment is session_to_be_written:
        pair.model.held = {2}
        await pair.until(lambda: pair.model.requested_steps(TALE.name) == [1, 2])
    with moment(pair) as reached:
        await pair.until(reached)
        pair.suspend()
    # The database ends the suspended server's transaction before the lease expires.
    await pair.until(lambda: not pair.has_open_transaction())
    if not wait_for_lease:
        await asyncio.to_thread(pair.end_lease)
    await pair.wait_for_the_other(within=50)
    pair.conversation.check([TALE], pair.model, pair.other_page)
    before = pair.dump()

    await pair.wake()

    assert pair.dump() == before
    await pair.other_page.send(NEXT.message)
    await pair.other_page.wait_until_settled(1, within=30)
    await pair.hung_page.wait_until_settled(1, within=30)
    pair.conversation.check([TALE, NEXT], pair.model, pair.other_page, pair.hung_page)
    pair.conversation.check_metadata()


@pytest.mark.parametrize(
    ("servers", "moment"),
    [
        *(pytest.param(FILE, moment, id=name) for name, moment in MOMENTS.items()),
        pytest.param(DATABASE, session_to_be_written, id="before the session is written to the database"),
    ],
    indirect=["servers"],
)
async def test_woken_server_changes_nothing_after_its_turn_was_taken_over(pair: ServerPair, moment: Moment) -> None:
    await check_woken_server_changes_nothing(pair, moment, wait_for_lease=False)


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
async def test_woken_server_changes_nothing_after_its_lease_expired(pair: ServerPair, moment: Moment) -> None:
    await check_woken_server_changes_nothing(pair, moment, wait_for_lease=True)
