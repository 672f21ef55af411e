"""Tools of an installation (`AGENT_TOOLS`), as tests need them: slow, failing, observed, invalid."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agents import RunContextWrapper, function_tool
from django.db import connection

from chat.assistant.context import Effect, TurnContext
from chat.assistant.tools import TaskTool
from chat.tasks import services as tasks
from config.tests.support import eventually


@dataclass
class Observed:
    """The effects of the tools, and the events that control the slow one."""

    done: list[tuple[uuid.UUID, str]] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    proceed: asyncio.Event = field(default_factory=asyncio.Event)
    was_cancelled: bool = False


observed = Observed()


def note(run: RunContextWrapper[TurnContext], text: str) -> dict[str, Any]:
    """Note a text."""
    observed.done.append((run.context.user_id, text))
    return {"noted": text, "at": run.context.now.date()}


async def wait(run: RunContextWrapper[TurnContext], text: str) -> str:
    """Do something that takes its time."""
    observed.started.set()
    try:
        await observed.proceed.wait()
    except asyncio.CancelledError:
        observed.was_cancelled = True
        raise
    observed.done.append((run.context.user_id, text))
    return f"waited \x00 for {text}"


@function_tool(failure_error_function=None)
async def fail(text: str) -> str:
    """Fail."""
    raise RuntimeError(text)


@function_tool(timeout=0.01)
async def hang() -> str:
    """Take longer than it may."""
    await asyncio.Event().wait()
    return "never"


@function_tool(needs_approval=True)
async def send(run: RunContextWrapper[TurnContext], text: str) -> str:
    """Send a text to somebody."""
    observed.done.append((run.context.user_id, text))
    return "sent"


async def _is_rude(run: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str) -> bool:
    return "damn" in arguments["text"]


@function_tool(needs_approval=_is_rude)
async def whisper(run: RunContextWrapper[TurnContext], text: str) -> str:
    """Say a text quietly."""
    observed.done.append((run.context.user_id, text))
    return "whispered"


class Dawdle(TaskTool):
    """Add a task, and then hold the transaction for too long."""

    name = "dawdle"

    def act(self, user_id: uuid.UUID) -> Effect:
        tasks.create_task(user_id=user_id, title="Too late")
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', '50ms', true), pg_backend_pid()")
            backend = cursor.fetchone()[1]
        other = connection.copy()
        try:
            with other.cursor() as cursor:
                eventually(lambda: _has_ended(cursor, backend), what="the end of the connection")
        finally:
            other.close()
        return Effect({"ok": True})


def _has_ended(cursor: Any, backend: int) -> bool:
    cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [backend])
    return cursor.fetchone() is None


class Broken(TaskTool):
    """Add a task, and then fail."""

    name = "broken"

    def act(self, user_id: uuid.UUID) -> Effect:
        tasks.create_task(user_id=user_id, title="Too early")
        words = "between us"
        raise KeyError(words)


class Wrong(TaskTool):
    """Return something else than an effect."""

    name = "wrong"

    def act(self, user_id):  # type: ignore[no-untyped-def]
        return {"ok": True}


class Async(TaskTool):
    """Be a coroutine."""

    name = "async"

    async def act(self, user_id: uuid.UUID) -> Effect:  # type: ignore[override]
        return Effect({})


class Eager(TaskTool):
    """Want more than it is given."""

    name = "eager"

    def act(self, user_id: uuid.UUID, more: str) -> Effect:  # type: ignore[override]
        return Effect({})


class Plain(TaskTool):
    """Say that it returns something else."""

    name = "plain"

    def act(self, user_id: uuid.UUID) -> dict[str, Any]:  # type: ignore[override]
        return {}


def count() -> Iterator[str]:
    """Count."""
    yield "one"


TOOLS = [note, wait, fail, hang, send, whisper, Dawdle, Broken, Wrong]
ASYNC, EAGER, PLAIN, GENERATOR = [Async], [Eager], [Plain], [count]

# Invalid tools.
NO_LIST = {"tools": "note"}
NOT_ALL_TOOLS = [note, "note"]
UNTYPED = [lambda: None, print]


def create_task(title: str) -> str:
    """Take the name of one of ours."""
    return title


def spaced_out() -> str:
    """Have a name that no model's API takes."""
    return ""


spaced_out.__name__ = "spaced out"


class Nameless(TaskTool):
    """Have no name."""

    def act(self, user_id: uuid.UUID) -> Effect:
        return Effect({})


class Idle(TaskTool):
    """Do nothing."""

    name = "idle"


class Talkative:
    """Has instructions that are no text."""

    tools = (note,)
    instructions = ("one", "two")


class Polite:
    """Has both."""

    tools = (note,)
    instructions = """
        Note what {people} say.
        At once.
    """


CLASHING, TWICE, BADLY_NAMED = [create_task], [note, note], [spaced_out]
NAMELESS, IDLE = [Nameless], (Idle,)
