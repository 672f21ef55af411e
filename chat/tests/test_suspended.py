"""A server process that hangs longer than its lease: another ends its turn, and it changes nothing when it wakes."""

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
from chat.tests.evidence import Conversation
from chat.tests.live import sign_in
from chat.tests.model_server import ModelServer
from chat.tests.orders import CREATE, Order, OrderTaker
from chat.tests.page import Page
from chat.tests.session_file import locked
from config.tests.support import LiveDatabase, ServerProcess, database, free_port

pytestmark = pytest.mark.service

TALE = Order("tale", ((CREATE, CREATE),), words=20, delay=0.05)
NEXT = Order("next", ((CREATE,),))


@dataclass
class Two:
    """Two servers on one database and one session file, and a conversation that the first one runs."""

    hung: ServerProcess
    other: ServerProcess
    model: OrderTaker
    conversation: Conversation
    mine: Page
    theirs: Page

    async def until(self, holds: Callable[[], Any], *, within: float = 15) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(within):
            while not holds():
                await asyncio.sleep(0.02)

    def steps(self) -> int:
        """Count the responses in the journal."""
        ((steps,),) = self.conversation.database.query(
            "SELECT count(*) FROM chat_turnstep s JOIN chat_turn t ON t.id = s.turn_id WHERE t.conversation_id = %s",
            self.conversation.id,
        )
        return int(steps)

    def waits_for_a_lock(self) -> bool:
        """Return whether a statement waits."""
        waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(self.conversation.database.query(waiting))

    def has_open_transaction(self) -> bool:
        """Return whether a statement runs or waits, or a transaction waits for its process."""
        is_open = "datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()"
        return bool(self.conversation.database.query(f"SELECT pid FROM pg_stat_activity WHERE {is_open}"))  # noqa: S608

    def suspend(self) -> None:
        """Stop the first server in its tracks."""
        os.kill(self.hung.process.pid, signal.SIGSTOP)

    def end_lease(self) -> None:
        """Let the time pass that a lease lasts."""
        # A transaction that hangs with the server must not keep others away for long.
        with psycopg.connect(self.conversation.database.url, options="-c lock_timeout=20s") as connection:
            connection.execute("UPDATE chat_turn SET lease_until = now() - interval '1 second'")

    async def ended_by_the_other(self, *, within: float) -> None:
        """Wait until the turn is done."""
        await self.theirs.settled(0, within=within)
        ended = "SELECT status, attempt FROM chat_turn WHERE conversation_id = %s"
        assert self.conversation.database.query(ended, self.conversation.id) == [("done", 2)]

    async def wake(self) -> None:
        """Let the first server go on, until it has noticed what it missed."""
        (turn_id,) = self.theirs.turns
        os.kill(self.hung.process.pid, signal.SIGCONT)
        await self.until(lambda: turn_id in self.hung.output)

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return everything that is kept of the conversation."""
        database, of = self.conversation.database, self.conversation.id
        rows = {
            table: database.query(f"SELECT * FROM {table} WHERE conversation_id = %s ORDER BY id", of)  # noqa: S608
            for table in ("chat_turn", "chat_message", "chat_agentsession")
        }
        for table in ("chat_turnstep", "chat_toolcall"):
            rows[table] = database.query(f"SELECT * FROM {table} ORDER BY id")  # noqa: S608
        rows["chat_task"] = database.query("SELECT * FROM chat_task ORDER BY id")
        rows["chat_conversation"] = database.query("SELECT * FROM chat_conversation WHERE id = %s", of)
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
    """The servers of these tests, none of which ends one."""
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
async def two(servers: Servers) -> AsyncIterator[Two]:
    """A conversation that is open at both servers."""
    taker = OrderTaker()
    taker.held = {1}
    hung, other = servers.hung, servers.other
    async with ModelServer(rule=taker.answer, port=servers.model_port) as endpoint:
        person = await asyncio.to_thread(sign_in, hung)
        path = hung.data_dir / "agent_sessions.db" if servers.store == FILE else None
        conversation = Conversation(hung.database, path, person.id, uuid.uuid4())
        async with Page(hung.ws_url, hung.url, person, conversation.id) as mine:
            await mine.send(TALE.message)
            theirs = Page(other.ws_url, other.url, person, conversation.id)
            two = Two(hung, other, taker, conversation, mine, theirs)
            await two.until(lambda: mine.accepted)
            async with theirs:
                try:
                    yield two
                finally:
                    os.kill(hung.process.pid, signal.SIGCONT)
    assert (endpoint.problems, taker.wrong) == ([], [])


# Where the first server is when it is suspended; the block ends when it no longer matters.


@contextmanager
def model_speaking(two: Two) -> Iterator[Callable[[], bool]]:
    """It reads the reply."""
    two.model.held = set()
    yield lambda: two.model.asked_for(TALE.name) == [1, 2]


@contextmanager
def tool_in_transaction(two: Two) -> Iterator[Callable[[], bool]]:
    """A tool holds the turn and has written what it did, but not committed it."""
    with psycopg.connect(two.conversation.database.url) as gate:
        gate.execute("LOCK TABLE chat_toolcall IN SHARE MODE")
        two.model.held = set()
        yield two.waits_for_a_lock


@contextmanager
def session_to_be_written(two: Two) -> Iterator[Callable[[], bool]]:
    """The reply is complete and is about to be written into the session store."""
    path = two.conversation.sessions
    with locked(path) if path else locked_row(two.conversation):
        two.model.held = set()
        yield lambda: two.steps() == 2 and (path is not None or two.waits_for_a_lock())


@contextmanager
def locked_row(conversation: Conversation) -> Iterator[None]:
    """Hold the lock that each write to a session in the database needs."""
    with psycopg.connect(conversation.database.url) as gate:
        session_id = str(SessionId(conversation.user_id, conversation.id))
        gate.execute("SELECT FROM agent_sessions WHERE session_id = %s FOR NO KEY UPDATE", [session_id])
        yield


MOMENTS = {
    "while the model speaks": model_speaking,
    "in the midst of a tool": tool_in_transaction,
    "before it writes the session": session_to_be_written,
}
Moment = Callable[[Two], AbstractContextManager[Callable[[], bool]]]


async def check_that_it_changes_nothing(two: Two, moment: Moment, *, wait_for_lease: bool) -> None:
    if moment is session_to_be_written:
        two.model.held = {2}
        await two.until(lambda: two.model.asked_for(TALE.name) == [1, 2])
    with moment(two) as reached:
        await two.until(reached)
        two.suspend()
    # Before its lease ends, the database ends a transaction that hangs.
    await two.until(lambda: not two.has_open_transaction())
    if not wait_for_lease:
        await asyncio.to_thread(two.end_lease)
    await two.ended_by_the_other(within=50)
    two.conversation.check([TALE], two.model, two.theirs)
    before = two.dump()

    await two.wake()

    assert two.dump() == before
    await two.theirs.send(NEXT.message)
    await two.theirs.settled(1, within=30)
    await two.mine.settled(1, within=30)
    two.conversation.check([TALE, NEXT], two.model, two.theirs, two.mine)
    two.conversation.check_mirror()


@pytest.mark.parametrize(
    ("servers", "moment"),
    [
        *(pytest.param(FILE, moment, id=name) for name, moment in MOMENTS.items()),
        pytest.param(DATABASE, session_to_be_written, id="before it writes the session in the database"),
    ],
    indirect=["servers"],
)
async def test_a_suspended_server_changes_nothing_when_it_wakes(two: Two, moment: Moment) -> None:
    await check_that_it_changes_nothing(two, moment, wait_for_lease=False)


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
async def test_the_end_of_the_lease_is_enough(two: Two, moment: Moment) -> None:
    await check_that_it_changes_nothing(two, moment, wait_for_lease=True)
