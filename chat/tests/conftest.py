"""Fixtures of the turn tests: a runner over the real store and database, with a scripted model."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from agents import Model
from agents.items import TResponseStreamEvent
from agents.testing import ModelCall, ModelStep, ScriptedModel
from openai.types.responses import ResponseTextDeltaEvent
from pytest_django import Settings

from chat.assistant.endpoints.providers import Choose
from chat.assistant.offline.model import OfflineModel
from chat.memory.configured import DATABASE, FILE, session_store
from chat.memory.file_store import FileStore
from chat.memory.identity import SessionId
from chat.memory.items import Item
from chat.models import Conversation, Turn, User
from chat.tests.live import scripted_server, shared_server
from chat.tests.session_file import _one_server, damaged_store_server
from chat.tests.stores import KINDS, remove_all
from chat.turns.accept import Accepted
from chat.turns.events import ApprovalRequested, Event, LastEvent
from chat.turns.follow import follow
from chat.turns.log import Entry
from chat.turns.runner import TurnRunner

__all__ = [
    "Chat",
    "Gate",
    "StartRunner",
    "_one_server",
    "conversation_of",
    "damaged_store_server",
    "scripted_server",
    "shared_server",
]


class Gate:
    """A model step that sends some text and then waits forever, so that a test can act during a turn."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.reached = asyncio.Event()

    async def _stream(self, call: ModelCall) -> AsyncIterator[TResponseStreamEvent]:
        for text in self.texts:
            yield ResponseTextDeltaEvent.model_construct(type="response.output_text.delta", delta=text)
        self.reached.set()
        await asyncio.Event().wait()

    def step(self) -> ModelStep:
        """Return the step for a script."""
        return ModelStep.stream(self._stream)


@dataclass
class Chat:
    """One user's conversation with a runner."""

    runner: TurnRunner
    user: User
    conversation_id: uuid.UUID

    async def send(self, text: str, client_id: uuid.UUID | None = None) -> Accepted:
        """Send a message without waiting for the reply."""
        return await self.runner.send(
            user_id=self.user.pk,
            conversation_id=self.conversation_id,
            client_id=client_id or uuid.uuid4(),
            text=text,
        )

    async def follow_to_end(self, turn: Turn) -> list[Entry]:
        """Follow a turn to its end."""
        entries = []
        async with asyncio.timeout(15):
            async for batch in follow(self.runner.logs, turn.pk):
                entries += batch.entries
        return entries

    async def until(self, turn: Turn, kind: type[Event]) -> list[Entry]:
        """Follow a turn and return its entries up to the first event of a type; more may follow."""
        entries: list[Entry] = []
        async with asyncio.timeout(15):
            async for batch in follow(self.runner.logs, turn.pk):
                for entry in batch.entries:
                    entries.append(entry)
                    if isinstance(entry.event, kind):
                        return entries
        raise AssertionError(f"the turn ended without this event: {entries}")

    async def request_approval(self, text: str) -> tuple[Accepted, ApprovalRequested]:
        """Send a message whose turn requests an approval, and wait until the turn is waiting."""
        accepted = await self.send(text)
        event = (await self.until(accepted.turn, ApprovalRequested))[-1].event
        assert isinstance(event, ApprovalRequested)
        await self.wait_until_idle()
        return accepted, event

    async def decide(self, turn: Turn, call_id: str, approve: bool, *, user: User | None = None) -> None:
        """Approve or decline a call."""
        await self.runner.decide(
            user_id=(user or self.user).pk,
            conversation_id=self.conversation_id,
            turn_id=turn.pk,
            call_id=call_id,
            approve=approve,
        )

    async def retry(self, turn: Turn, client_id: uuid.UUID | None = None) -> Accepted:
        """Retry a turn."""
        return await self.runner.retry(
            user_id=self.user.pk,
            conversation_id=self.conversation_id,
            turn_id=turn.pk,
            client_id=client_id or uuid.uuid4(),
        )

    async def edit(self, message_id: object, text: str, client_id: uuid.UUID | None = None) -> Accepted:
        """Replace a message by an edited one."""
        return await self.runner.edit(
            user_id=self.user.pk,
            conversation_id=self.conversation_id,
            message_id=uuid.UUID(str(message_id)),
            client_id=client_id or uuid.uuid4(),
            text=text,
        )

    @property
    def store(self) -> FileStore:
        """The runner's session store."""
        assert isinstance(self.runner.store, FileStore)
        return self.runner.store

    @property
    def session_file(self) -> Path:
        """The file of the runner's sessions."""
        return self.store.path

    async def session(self) -> list[Item]:
        """Return the items of the conversation's session."""
        return [row.item for row in await self.runner.store.rows(str(SessionId(self.user.pk, self.conversation_id)))]

    async def run_turn(self, text: str) -> LastEvent:
        """Send a message and return the last event of its turn."""
        accepted = await self.send(text)
        last = (await self.follow_to_end(accepted.turn))[-1].event
        assert isinstance(last, LastEvent), last
        return last

    async def reply(self, text: str) -> str:
        """Send a message and return the text of the reply."""
        last = await self.run_turn(text)
        message = getattr(last, "message", None)
        assert message is not None, last
        return str(message.text)

    async def wait_until_idle(self) -> None:
        """Wait until the runner has no running turn."""
        await self.runner.turns.idle()


@pytest.fixture(params=KINDS)
def each_store(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[str]:
    """The configured kind of session store; a test runs once with each kind."""
    settings.AGENT_SESSION_STORE = request.param
    settings.AGENT_SESSION_DB_PATH = tmp_path / "sessions.db"
    yield request.param
    if request.param == DATABASE:
        remove_all()


StartRunner = Callable[..., Awaitable[TurnRunner]]


@pytest.fixture
async def start_runner(transactional_db: None, settings: Settings, tmp_path: Path) -> AsyncIterator[StartRunner]:
    """Start runners as separate server processes would, all with the same session file."""
    runners: list[TurnRunner] = []

    async def start_one(model: Model | None = None, choose: Choose | None = None) -> TurnRunner:
        selected = model or OfflineModel()
        store = FileStore(tmp_path / "sessions.db") if settings.AGENT_SESSION_STORE == FILE else session_store()
        runner = TurnRunner(choose=choose or (lambda name: selected), store=store)
        runners.append(runner)
        await runner.start()
        return runner

    yield start_one
    for runner in runners:
        await runner.drain(0)


@pytest.fixture
def script() -> ScriptedModel:
    """A model whose responses the test enqueues."""
    return ScriptedModel()


@pytest.fixture
async def chat(start_runner: StartRunner, script: ScriptedModel, owner: User) -> Chat:
    """The owner in a conversation that the scripted model answers."""
    return Chat(await start_runner(script), owner, uuid.uuid4())


@pytest.fixture
async def offline_chat(start_runner: StartRunner, owner: User) -> Chat:
    """The owner in a conversation that the offline model answers."""
    return Chat(await start_runner(), owner, uuid.uuid4())


def conversation_of(chat: Chat) -> Conversation:
    """Return the conversation's row."""
    return Conversation.objects.get(pk=chat.conversation_id)
