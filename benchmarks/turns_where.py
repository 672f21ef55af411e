"""Where the time of one turn goes: a server whose steps are timed from outside, and the table of them.

`benchmarks.turns --where` starts this module as the server. It wraps functions of the product and adds nothing to what
they do but a look at the clock, the machine's one, which the clients read too.
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

# What happens up to each moment, in the order in which it does.
STAGES = {
    "received": "the frame on its way to the socket's handler",
    "known": "the login looked at again",
    "taken up": "a database thread waited for",
    "accepted": "message and turn stored: one transaction",
    "briefed": "what the turn needs read",
    "playing": "back to the loop, the turn's task begun",
    "opened": "the session opened",
    "asking": "the SDK's run loop, up to the model",
    "requested": "the model's client, up to the request",
    "answered": "the endpoint, up to its answer's first byte",
    "said": "the first token out of the stream, into the log",
    "sent": "the follower, up to the socket",
    "seen": "the frame on its way to the page",
}

Mark = tuple[str, str, float]
_marks: list[Mark] = []
_conversation: ContextVar[str] = ContextVar("conversation", default="")


def mark(moment: str, conversation: object = None) -> None:
    """Note the time at which a turn of a conversation got somewhere."""
    if name := str(conversation or _conversation.get()):
        _marks.append((name, moment, time.perf_counter()))


# -- in the server


def _around(
    owner: Any, name: str, *, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    """Let somebody look before and after each call of a function, whichever kind it is."""
    function = getattr(owner, name)

    def look(looks: Callable[..., None] | None, *args: Any, **kwargs: Any) -> None:
        if looks is not None:
            looks(*args, **kwargs)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        look(before, *args, **kwargs)
        result = function(*args, **kwargs)
        look(after, *args, **kwargs)
        return result

    @functools.wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        look(before, *args, **kwargs)
        result = await function(*args, **kwargs)
        look(after, *args, **kwargs)
        return result

    setattr(owner, name, awaited if inspect.iscoroutinefunction(function) else call)


def instrument() -> None:
    """Wrap what a turn passes through."""
    http = import_module("httpx2")  # what the model's client sends by
    from chat.memory.session import AgentSessionMemory
    from chat.realtime.consumer import ChatSocket
    from chat.turns import admission, begin, execution, replay
    from chat.turns.events import TextDelta
    from chat.turns.log import TurnLog

    def received(socket: Any, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data and "message.send" in text_data:
            mark("received", socket.conversation_id)

    def plays(turn: Any) -> None:
        _conversation.set(str(turn.turn.conversation_id))
        mark("playing")

    def said(log: Any, event: Any) -> None:
        if isinstance(event, TextDelta):
            mark("said")

    def sent(socket: Any, text_data: str | None = None, **_: Any) -> None:
        if text_data and text_data.startswith('{"type":"text.delta"'):
            mark("sent", socket.conversation_id)

    _around(ChatSocket, "receive", before=received)
    _around(ChatSocket, "_is_signed_in", after=lambda socket: mark("known", socket.conversation_id))
    _around(
        admission,
        "accept",
        before=lambda **given: mark("taken up", given["conversation_id"]),
        after=lambda **given: mark("accepted", given["conversation_id"]),
    )
    _around(begin, "read_turn_input", after=lambda turn: mark("briefed", turn.conversation_id))
    _around(execution.TurnExecution, "run", before=plays)
    _around(AgentSessionMemory, "open", after=lambda *_: mark("opened"))
    _around(replay.ReplayModel, "watch", before=lambda *_: mark("asking"))
    _around(
        http.AsyncClient,
        "send",
        before=lambda *_, **__: mark("requested"),
        after=lambda *_, **__: mark("answered"),
    )
    _around(TurnLog, "append", before=said)
    _around(ChatSocket, "send", before=sent)


def main() -> None:
    """Serve as `config.runtime.asgi_server` does, timed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns_where")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    import django

    from config.runtime import asgi_server

    os.environ.setdefault("DATABASE_POOL_SIZE", asgi_server.POOL_SIZE)  # read with the settings, now
    django.setup(set_prefix=False)
    instrument()
    asgi_server.serve("127.0.0.1", options.port)
    Path(os.environ["DATA_DIR"], "marks.json").write_text(json.dumps(_marks))
    os._exit(0)


# -- in the clients


async def talk(url: str, cookies: Sequence[str], *, alone: int, crowds: int) -> dict[str, list[list[Any]]]:
    """Let one person speak, then everybody at once; return each turn's conversation, sending and first piece."""
    seen: dict[str, list[list[Any]]] = {"warm-up": [], "alone": [], "at once": []}

    async def say(phase: str, page: OurPage) -> None:
        said = await page.say("where does the time go?")
        seen[phase].append([str(page.conversation), said.sent, said.first])

    for phase, turns in (("warm-up", 5), ("alone", alone)):
        page = OurPage(url, cookies[0])
        await page.open()
        for _ in range(turns):
            await say(phase, page)
        await page.close()
    pages = [OurPage(url, cookie) for cookie in cookies]
    for page in pages:
        await page.open()
    await asyncio.gather(*(say("warm-up", page) for page in pages))
    for _ in range(crowds):
        await asyncio.sleep(1)
        await asyncio.gather(*(say("at once", page) for page in pages))
    for page in pages:
        await page.close()
    return seen


# -- out of both


def stages(seen: dict[str, list[list[Any]]], marks: Sequence[Sequence[Any]]) -> dict[str, dict[str, list[float]]]:
    """Return the milliseconds of each stage of each turn, by phase."""
    by_conversation: dict[str, list[Mark]] = defaultdict(list)
    for conversation, moment, when in marks:
        by_conversation[conversation].append((conversation, moment, when))
    found: dict[str, dict[str, list[float]]] = {}
    for phase, turns in seen.items():
        spent = found.setdefault(phase, {moment: [] for moment in STAGES})
        for conversation, sent, first in turns:
            at = sent
            for moment, when in _moments(by_conversation[conversation], sent, first):
                spent[moment].append((when - at) * 1000)
                at = when
    return found


def _moments(marks: Sequence[Mark], sent: float, first: float) -> Iterator[tuple[str, float]]:
    """Yield when one turn got to each stage for the first time."""
    for moment in STAGES:
        if moment == "seen":
            yield moment, first
        else:
            yield moment, next(when for _, known, when in marks if known == moment and when >= sent)


def lines(found: dict[str, dict[str, list[float]]], phases: Sequence[str] = ("alone", "at once")) -> Iterator[str]:
    """Yield the table: p50 and p95 in milliseconds, and the share of the mean."""
    yield "| up to the first delta | " + " | ".join(f"{phase} | " for phase in phases) + "|"
    yield "|---" * (1 + 2 * len(phases)) + "|"
    for moment, what in STAGES.items():
        yield f"| {what} | " + " | ".join(_cells(found[phase], moment) for phase in phases) + " |"
    wholes = [[sum(turn) for turn in zip(*found[phase].values(), strict=True)] for phase in phases]
    yield "| all | " + " | ".join(f"{_pair(whole)} | " for whole in wholes) + "|"


def _cells(spent: dict[str, list[float]], moment: str) -> str:
    whole = sum(map(sum, spent.values()))
    return f"{_pair(spent[moment])} | {sum(spent[moment]) / whole:.0%}"


def _pair(times: Sequence[float]) -> str:
    ordered = sorted(times)
    return f"{statistics.median(ordered):,.1f} / {ordered[int(len(ordered) * 0.95)]:,.1f}"


def clients(**job: Any) -> dict[str, list[list[Any]]]:
    """Talk in a process of its own."""
    code = "import sys, json; from benchmarks.turns_where import answer; answer(json.load(sys.stdin))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=json.dumps(job), text=True, stdout=subprocess.PIPE, cwd=ROOT, check=True)
    seen: dict[str, list[list[Any]]] = json.loads(done.stdout)
    return seen


def answer(job: dict[str, Any]) -> None:
    """Talk as a job says, and write what was seen."""
    json.dump(asyncio.run(talk(**job)), sys.stdout)


if __name__ == "__main__":
    main()
