"""Run real servers under a plan of failures: kills, cut sockets, restarts of PostgreSQL and Redis.

A seed determines the plan, but not the exact outcome, since the timing of real processes varies.
"""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random

from chat.tests.conversation_checks import Conversation
from chat.tests.endpoint.answers import RETRIED
from chat.tests.live import sign_in
from chat.tests.model_server import ModelServer, Request, Strictness
from chat.tests.model_server.script import Step
from chat.tests.page import Page
from chat.tests.redis_server import RedisServer
from chat.tests.scripted_orders import COMPLETE, CREATE, UPDATE, Order, OrderTaker
from config.runtime.embedded_postgres import EmbeddedPostgres, start
from config.tests.support import SECONDS, LiveDatabase, ServerProcess, create_tables

LIMIT = 40  # items in a session; more than any single turn has
CONVERSATIONS_PER_PERSON = 3
SECOND_TAB_EVERY = 3  # every third conversation is also open in a second tab
STARTING = 3.0  # about the seconds that a server takes to start; failures happen then, too
LIMITS = {"MESSAGES_PER_MINUTE": "100000", "SOCKETS_PER_USER": "1000", "QUEUE_PER_CONVERSATION": "1000"}
RECOVERY = 400.0  # seconds for all unfinished turns after the last server has started; a busy machine leaves many


@dataclass(frozen=True)
class Size:
    """The number of conversations, messages and failures."""

    conversations: int
    messages: int
    kills: int
    restarts: int
    cuts: int
    servers: int = 1  # two or more share a Redis, and a session store in PostgreSQL
    redis_kills: int = 0


SHORT = Size(conversations=6, messages=24, kills=3, restarts=1, cuts=8)
MIDDLE = Size(conversations=12, messages=80, kills=8, restarts=1, cuts=30)
LONG = Size(conversations=30, messages=300, kills=40, restarts=3, cuts=200)
SHORT_OF_TWO = Size(conversations=6, messages=24, kills=3, restarts=1, cuts=8, servers=2, redis_kills=1)
LONG_OF_TWO = Size(conversations=30, messages=300, kills=40, restarts=3, cuts=200, servers=2, redis_kills=3)


# The plan.


@dataclass(frozen=True)
class SendMessage:
    """A user sends a message."""

    conversation: int
    order: Order


@dataclass(frozen=True)
class Cut:
    """One of the open sockets is cut, chosen by its relative position."""

    which: float


@dataclass(frozen=True)
class Restart:
    """PostgreSQL is stopped by a signal and started again later."""

    by: signal.Signals
    down: float  # seconds


@dataclass(frozen=True)
class KillRedis:
    """Redis is killed and started again later, empty."""

    down: float  # seconds


Event = SendMessage | Cut | Restart | KillRedis


@dataclass
class Round:
    """The lifetime of one server process: killed some seconds after it answers or, if early, after its launch."""

    seconds: float
    is_early: bool
    server: int = 0
    events: list[tuple[float, Event]] = field(default_factory=list)


def make_plan(seed: int, size: Size) -> list[Round]:
    """Return the rounds of a run with their events."""
    random = Random(seed)
    rounds = [Round(random.uniform(0.5, 6), is_early=random.random() < 0.1) for _ in range(size.kills)]

    def schedule(event: Event) -> None:
        round_ = random.choice(rounds)
        round_.events.append((random.uniform(0, STARTING + round_.seconds), event))

    for number in range(size.messages):
        schedule(SendMessage(number % size.conversations, _make_order(random, number)))
    for _ in range(size.cuts):
        schedule(Cut(random.random()))
    for number in range(size.restarts):
        by = signal.SIGINT if (number + seed) % 2 else signal.SIGQUIT  # a fast stop, or an immediate one
        schedule(Restart(by, random.uniform(0, 1.5)))
    for _ in range(size.redis_kills):
        schedule(KillRedis(random.uniform(0, 3)))
    for each in rounds:
        each.server = random.randrange(size.servers) if size.servers > 1 else 0
        each.events.sort(key=lambda event: event[0])
    return rounds


def _make_order(random: Random, number: int) -> Order:
    """Make a random message: up to three rounds of tool calls, some parallel, and a slow reply."""
    steps: list[tuple[str, ...]] = []
    if random.random() < 0.8:
        steps.append((CREATE,) * random.randint(1, 3))
        if random.random() < 0.6:
            steps.append(random.choice([(COMPLETE, UPDATE), (UPDATE, CREATE), (COMPLETE, CREATE, CREATE)]))
        if random.random() < 0.3:
            steps.append((CREATE, CREATE))
    return Order(f"order {number:03}", tuple(steps), random.randint(2, 15), round(random.uniform(0.005, 0.05), 3))


# The run.


@dataclass
class Figures:
    """The counts of a run, for its summary line."""

    seed: int
    messages: int = 0
    kills: int = 0
    kills_with_turns_under_way: int = 0
    postgres_restarts: int = 0
    redis_kills: int = 0
    sockets_cut: int = 0
    reconnects: int = 0
    starts_refused: int = 0
    attempts: int = 0
    most_attempts: int = 0
    given_up: int = 0
    tool_calls: int = 0
    responses: int = 0
    responses_begun: int = 0
    malformed_answers: int = 0
    seconds: float = 0.0
    seconds_to_recover: float = 0.0

    def __str__(self) -> str:
        parts = [(each.name.replace("_", " "), getattr(self, each.name)) for each in fields(self)]
        return ", ".join(
            f"{name} {value:.1f}" if isinstance(value, float) else f"{name} {value}" for name, value in parts
        )


class Cluster:
    """The run's own PostgreSQL server, which keeps committed data across restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: EmbeddedPostgres = start(folder)
        self._lock = asyncio.Lock()
        self.url = self._server.url

    async def restart(self, restart: Restart) -> None:
        """Stop it and start it again."""
        async with self._lock:
            process = self._server.process
            assert process is not None
            process.send_signal(restart.by)
            await asyncio.to_thread(process.wait, SECONDS)
            self._server.stop()
            await asyncio.sleep(restart.down)
            # Not in a thread: the server ends with the thread that started it.
            self._server = start(self._folder)

    def stop(self) -> None:
        """Stop it for good."""
        self._server.stop()


class Chaos:
    """One run of a plan."""

    def __init__(
        self,
        plan: Sequence[Round],
        figures: Figures,
        cluster: Cluster,
        servers: Sequence[ServerProcess],
        redis: RedisServer | None,
    ) -> None:
        self.figures = figures
        self.senders: list[Page] = []
        self.watchers: list[Page] = []
        self.orders: list[list[Order]] = []
        self._plan = plan
        self._cluster = cluster
        self._servers = servers
        self._redis = redis

    async def execute(self) -> None:
        """Execute the plan and wait until every message is answered, without any intervention."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for server_round in self._plan:
                launched = time.monotonic()
                for delay, event in server_round.events:
                    group.create_task(self._run_event(delay, event))
                server = self._servers[server_round.server]
                if not server_round.is_early:
                    await self._wait_until_serving(server)
                # A slow machine runs turns slowly, too; some rounds must last long enough for them to progress.
                pace = min(max(1.0, (time.monotonic() - launched) / STARTING), 2.0)
                await asyncio.sleep(server_round.seconds * pace)
                self._kill_and_launch(server)
            await self._wait_until_all_serve()  # sockets that will be cut must reconnect
        await self._wait_until_all_serve()
        recovery_started = time.monotonic()
        for page, orders in zip(self.senders, self.orders, strict=True):
            try:
                await page.wait_until_settled(len(orders), within=RECOVERY - time.monotonic() + recovery_started)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self._unfinished_turns()}\n{self._output()}") from None
        self.figures.seconds_to_recover = time.monotonic() - recovery_started
        for page in self.watchers:
            await page.wait_until_settled(0, within=RECOVERY)
        self.figures.seconds = time.monotonic() - started

    async def _run_event(self, seconds: float, event: Event) -> None:
        await asyncio.sleep(seconds)
        if isinstance(event, SendMessage):
            self.orders[event.conversation].append(event.order)
            await self.senders[event.conversation].send(event.order.message)
            self.figures.messages += 1
        elif isinstance(event, Cut):
            while not (connected := [page for page in [*self.senders, *self.watchers] if page.is_connected]):
                await asyncio.sleep(0.05)
            connected[int(event.which * len(connected))].cut()
            self.figures.sockets_cut += 1
        elif isinstance(event, KillRedis):
            assert self._redis is not None
            self._redis.kill9()
            await asyncio.sleep(event.down)
            self._redis.start()
            self.figures.redis_kills += 1
        else:
            await self._cluster.restart(event)
            self.figures.postgres_restarts += 1

    def _output(self) -> str:
        return "\n".join(server.output[-5000:] for server in self._servers)

    def _unfinished_turns(self) -> str:
        """Describe the unfinished turns."""
        rows = self._servers[0].database.query(
            "SELECT id, seq, status, attempt, cut_off, owner, lease_until - now(), text FROM chat_turn"
            " WHERE ended_at IS NULL ORDER BY conversation_id, seq"
        )
        return "\n".join(map(str, rows))

    def _kill_and_launch(self, server: ServerProcess) -> None:
        """Kill a server and launch it again at once."""
        turns_running = any(not turn.ended for page in self.senders for turn in page.turns.values())
        self.figures.kills_with_turns_under_way += turns_running
        server.kill9()
        self.figures.kills += 1
        server.launch()

    async def _wait_until_all_serve(self) -> None:
        for server in self._servers:
            await self._wait_until_serving(server)

    async def _wait_until_serving(self, server: ServerProcess) -> None:
        """Wait until a server answers; launch it again if it exited because it found no database."""
        async with asyncio.timeout(RECOVERY):
            while True:
                if server.process.poll() is not None:
                    self.figures.starts_refused += 1
                    server.launch()
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)


class Malformed:
    """A model endpoint that sends a malformed response to one request in `one_in`; the server retries it."""

    def __init__(self, model: OrderTaker, seed: int, figures: Figures, *, one_in: int) -> None:
        self._model = model
        self._random = Random(seed)
        self._figures = figures
        self._one_in = one_in

    async def answer(self, request: Request) -> Step:
        """Answer a request: the rule of a model server."""
        if self._one_in and not self._random.randrange(self._one_in):
            self._figures.malformed_answers += 1
            return self._random.choice(RETRIED)
        return await self._model.answer(request)


async def run(seed: int, size: Size, folder: Path, *, malformed_one_in: int = 0) -> Figures:
    """Execute the plan of a seed and check the result; one model response in `malformed_one_in` is malformed."""
    figures, model = Figures(seed), OrderTaker()
    rule = Malformed(model, seed, figures, one_in=malformed_one_in).answer
    cluster = Cluster(folder / "postgres")
    try:
        data_dir = folder / "data"
        data_dir.mkdir()
        create_tables(cluster.url, data_dir)
        strict = ModelServer(rule=rule, strict=Strictness())
        async with strict as endpoint, AsyncExitStack() as stack:
            redis = stack.enter_context(RedisServer(data_dir)) if size.servers > 1 else None
            variables = {"REDIS_URL": redis.url, "AGENT_SESSION_STORE": "database"} if redis else {}
            processes = [_server_process(cluster, data_dir, endpoint, **variables) for _ in range(size.servers)]
            servers = [stack.enter_context(server) for server in processes]
            chaos = Chaos(make_plan(seed, size), figures, cluster, servers, redis)
            async with _open_pages(chaos, servers, size) as conversations:
                await chaos.execute()
                check(chaos, conversations, model)
            assert (endpoint.refused, endpoint.problems, model.problems) == ([], [], [])
    finally:
        cluster.stop()
    return figures


def _server_process(cluster: Cluster, data_dir: Path, endpoint: ModelServer, **variables: str) -> ServerProcess:
    model = {"OPENAI_BASE_URL": endpoint.url, "AGENT_GUARDRAIL": "off", "AGENT_SESSION_MAX_MESSAGES": str(LIMIT)}
    return ServerProcess(LiveDatabase(cluster.url), data_dir, **model, **LIMITS, **variables)


@asynccontextmanager
async def _open_pages(chaos: Chaos, servers: Sequence[ServerProcess], size: Size) -> AsyncIterator[list[Conversation]]:
    """Open a page for each conversation, some in two tabs, distributed over the servers."""
    server = servers[0]
    persons = [sign_in(server) for _ in range(-(-size.conversations // CONVERSATIONS_PER_PERSON))]
    conversations = []
    async with AsyncExitStack() as open_pages:
        for number in range(size.conversations):
            person = persons[number // CONVERSATIONS_PER_PERSON]
            sessions = None if size.servers > 1 else server.data_dir / "agent_sessions.db"
            conversation = Conversation(server.database, sessions, person.id, uuid.uuid4(), LIMIT)
            conversations.append(conversation)
            chaos.orders.append([])
            tabs = [chaos.senders, chaos.watchers] if number % SECOND_TAB_EVERY == 0 else [chaos.senders]
            for server_index, tab in enumerate(tabs, start=number):
                server = servers[server_index % len(servers)]
                page = Page(server.ws_url, server.url, person, conversation.id)
                tab.append(await open_pages.enter_async_context(page))
        yield conversations


def check(chaos: Chaos, conversations: Sequence[Conversation], model: OrderTaker) -> None:
    """Check that nothing was lost and nothing happened twice, and complete the figures."""
    figures = chaos.figures
    for conversation, page, orders in zip(conversations, chaos.senders, chaos.orders, strict=True):
        assert page.refusals == []
        watchers = [watcher for watcher in chaos.watchers if watcher.conversation_id == conversation.id]
        given_up = conversation.failed_orders(orders)
        figures.given_up += len(given_up)
        conversation.check(orders, model, page, *watchers, failed=given_up)
        assert len(page.accepted) == len(orders)
    database = conversations[0].database
    ((figures.attempts, figures.most_attempts),) = database.query("SELECT sum(attempt), max(attempt) FROM chat_turn")
    ((figures.tool_calls,),) = database.query("SELECT count(*) FROM chat_toolcall")
    ((figures.responses,),) = database.query("SELECT count(*) FROM chat_turnstep")
    figures.responses_begun = len(model.requests)
    figures.reconnects = sum(page.connected - 1 for page in [*chaos.senders, *chaos.watchers])
