"""Measure the stages of a turn: a server with timed functions, and the table of stages.

`benchmarks.turns --where` starts this module as the server. It wraps functions of the product and only records the time
of their calls, by the same clock as the clients.
"""

import argparse
import asyncio
import functools
import inspect
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.turns_pages import OurPage
from config.tests.support import ROOT

# What happens before each moment, in order.
STAGES = {
    "received": "frame to the socket's handler",
    "authenticated": "check of the login session",
    "in database thread": "wait for a database thread",
    "accepted": "message and turn stored, one transaction",
    "input read": "read of the turn's input",
    "started": "return to the loop, start of the turn's task",
    "opened": "open of the session",
    "model called": "the SDK's run loop, up to the model",
    "requested": "the model's client, up to the request",
    "answered": "the endpoint, up to the first byte of its response",
    "first token": "first token from the stream to the log",
    "sent": "the follower, up to the socket",
    "seen": "frame to the page",
}

Mark = tuple[str, str, float]
_marks: list[Mark] = []
_conversation: ContextVar[str] = ContextVar("conversation", default="")


def mark(moment: str, conversation: object = None) -> None:
    """Record the time at which a turn of a conversation reached a moment."""
    if name := str(conversation or _conversation.get()):
        _marks.append((name, moment, time.perf_counter()))


# -- in the server


def _hook(
    owner: Any, name: str, *, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    """Call hooks before and after each call of a function, sync or async."""
    function = getattr(owner, name)

    def run_hook(hook: Callable[..., None] | None, *args: Any, **kwargs: Any) -> None:
        if hook is not None:
            hook(*args, **kwargs)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        run_hook(before, *args, **kwargs)
        result = function(*args, **kwargs)
        run_hook(after, *args, **kwargs)
        return result

    @functools.wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        run_hook(before, *args, **kwargs)
        result = await function(*args, **kwargs)
        run_hook(after, *args, **kwargs)
        return result

    setattr(owner, name, awaited if inspect.iscoroutinefunction(function) else call)


def instrument() -> None:
    """Wrap the functions that a turn passes through."""
    http = import_module("httpx2")  # the HTTP library of the model's client
    from chat.memory.session import AgentSessionMemory
    from chat.realtime.consumer import ChatSocket
    from chat.turns import admission, begin, execution, replay
    from chat.turns.events import TextDelta
    from chat.turns.log import TurnLog

    def received(socket: Any, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data and "message.send" in text_data:
            mark("received", socket.conversation_id)

    def execution_started(turn: Any) -> None:
        _conversation.set(str(turn.turn.conversation_id))
        mark("started")

    def delta_logged(log: Any, event: Any) -> None:
        if isinstance(event, TextDelta):
            mark("first token")

    def sent(socket: Any, text_data: str | None = None, **_: Any) -> None:
        if text_data and text_data.startswith('{"type":"text.delta"'):
            mark("sent", socket.conversation_id)

    _hook(ChatSocket, "receive", before=received)
    _hook(ChatSocket, "_is_signed_in", after=lambda socket: mark("authenticated", socket.conversation_id))
    _hook(
        admission,
        "accept",
        before=lambda **arguments: mark("in database thread", arguments["conversation_id"]),
        after=lambda **arguments: mark("accepted", arguments["conversation_id"]),
    )
    _hook(begin, "read_turn_input", after=lambda turn: mark("input read", turn.conversation_id))
    _hook(execution.TurnExecution, "run", before=execution_started)
    _hook(AgentSessionMemory, "open", after=lambda *_: mark("opened"))
    _hook(replay.ReplayModel, "watch", before=lambda *_: mark("model called"))
    _hook(
        http.AsyncClient,
        "send",
        before=lambda *_, **__: mark("requested"),
        after=lambda *_, **__: mark("answered"),
    )
    _hook(TurnLog, "append", before=delta_logged)
    _hook(ChatSocket, "send", before=sent)


def main() -> None:
    """Serve as `config.runtime.asgi_server` does, with timed functions."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns_where")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    import django

    from config.runtime import asgi_server

    os.environ.setdefault("DATABASE_POOL_SIZE", asgi_server.POOL_SIZE)  # the settings read it in setup()
    django.setup(set_prefix=False)
    instrument()
    asgi_server.serve("127.0.0.1", options.port)
    Path(os.environ["DATA_DIR"], "marks.json").write_text(json.dumps(_marks))
    os._exit(0)


# -- in the clients


async def run_clients(url: str, cookies: Sequence[str], *, alone: int, crowds: int) -> dict[str, list[list[Any]]]:
    """Send messages from one client, then from all at once; return conversation, send time and first delta per turn."""
    seen: dict[str, list[list[Any]]] = {"warm-up": [], "alone": [], "at once": []}

    async def send(phase: str, page: OurPage) -> None:
        reply = await page.send_and_read("where does the time go?")
        seen[phase].append([str(page.conversation), reply.sent, reply.first])

    for phase, turns in (("warm-up", 5), ("alone", alone)):
        page = OurPage(url, cookies[0])
        await page.open()
        for _ in range(turns):
            await send(phase, page)
        await page.close()
    pages = [OurPage(url, cookie) for cookie in cookies]
    for page in pages:
        await page.open()
    await asyncio.gather(*(send("warm-up", page) for page in pages))
    for _ in range(crowds):
        await asyncio.sleep(1)
        await asyncio.gather(*(send("at once", page) for page in pages))
    for page in pages:
        await page.close()
    return seen


# -- from both


def stages(seen: dict[str, list[list[Any]]], marks: Sequence[Sequence[Any]]) -> dict[str, dict[str, list[float]]]:
    """Return the milliseconds of each stage of each turn, by phase."""
    by_conversation: dict[str, list[Mark]] = defaultdict(list)
    for conversation, moment, when in marks:
        by_conversation[conversation].append((conversation, moment, when))
    stages_by_phase: dict[str, dict[str, list[float]]] = {}
    for phase, turns in seen.items():
        spent = stages_by_phase.setdefault(phase, {moment: [] for moment in STAGES})
        for conversation, sent, first in turns:
            at = sent
            for moment, when in _moments(by_conversation[conversation], sent, first):
                spent[moment].append((when - at) * 1000)
                at = when
    return stages_by_phase


def _moments(marks: Sequence[Mark], sent: float, first: float) -> Iterator[tuple[str, float]]:
    """Yield the time at which a turn first reached each stage."""
    for moment in STAGES:
        if moment == "seen":
            yield moment, first
        else:
            yield moment, next(when for _, name, when in marks if name == moment and when >= sent)


def lines(
    stages_by_phase: dict[str, dict[str, list[float]]], phases: Sequence[str] = ("alone", "at once")
) -> Iterator[str]:
    """Yield the table: p50 and p95 in milliseconds, and the share of the mean."""
    yield "| up to the first delta | " + " | ".join(f"{phase} | " for phase in phases) + "|"
    yield "|---" * (1 + 2 * len(phases)) + "|"
    for moment, what in STAGES.items():
        yield f"| {what} | " + " | ".join(_cells(stages_by_phase[phase], moment) for phase in phases) + " |"
    wholes = [[sum(turn) for turn in zip(*stages_by_phase[phase].values(), strict=True)] for phase in phases]
    yield "| all | " + " | ".join(f"{_pair(whole)} | " for whole in wholes) + "|"


def _cells(spent: dict[str, list[float]], moment: str) -> str:
    whole = sum(map(sum, spent.values()))
    return f"{_pair(spent[moment])} | {sum(spent[moment]) / whole:.0%}"


def _pair(times: Sequence[float]) -> str:
    ordered = sorted(times)
    return f"{statistics.median(ordered):,.1f} / {ordered[int(len(ordered) * 0.95)]:,.1f}"


def clients(**job: Any) -> dict[str, list[list[Any]]]:
    """Run the clients in a process of their own."""
    code = "import sys, json; from benchmarks.turns_where import main_of_clients; main_of_clients(json.load(sys.stdin))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=json.dumps(job), text=True, stdout=subprocess.PIPE, cwd=ROOT, check=True)
    seen: dict[str, list[list[Any]]] = json.loads(done.stdout)
    return seen


def main_of_clients(job: dict[str, Any]) -> None:
    """Run the clients of a job, and write their samples."""
    json.dump(asyncio.run(run_clients(**job)), sys.stdout)


if __name__ == "__main__":
    main()
