"""Run the server and kill it at a given point of a turn.

Usage: `KILL_POINT_FILE=<file> python -m chat.tests.kill_point_server`

The file names the point, and may be written while the server runs, so that one process can recover from a kill and be
killed at the next point. SIGKILL ends it: nothing is flushed, closed or released. The product has no code for this.
"""

import functools
import importlib
import inspect
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from config.runtime import asgi_server  # first: it chooses the event loop


@dataclass(frozen=True)
class Point:
    """Before or after a call of a function, numbered from the moment when the file names the point.

    From then on, calls of a synchronous function do not overlap.
    """

    where: str  # module:name
    when: str
    call: int = 1


POINTS = {
    "after the message is accepted": Point("chat.turns.admission:accept", "after"),
    "after a queued turn is claimed": Point("chat.turns.running:finish", "after"),
    "before the model request": Point("chat.turns.replay:ReplayModel.watch", "before"),
    "during the stream": Point("chat.turns.replay:ReplayModel._append_text", "after", 3),
    "during the stream with text saved": Point("chat.turns.running:save_text", "after"),
    "after a response is journaled": Point("chat.turns.journal:record_step", "after"),
    "between two parallel tool calls": Point("chat.turns.journal:perform", "before", 2),
    "after a tool's transaction": Point("chat.turns.journal:perform", "after"),
    "after the SDK adds calls and outputs": Point("chat.memory.session:AgentSessionMemory.add_items", "after", 2),
    "after the SDK adds the reply": Point("chat.memory.session:AgentSessionMemory.add_items", "after", 3),
    "before the final commit": Point("chat.turns.finish:update_metadata", "after"),
    "after the final commit": Point("chat.turns.running:finish", "after"),
    "while pruning": Point("chat.memory.file_tables:FileTables.delete", "after"),
    "after pruning": Point("chat.turns.running:prune", "after"),
    "while pruning in the database": Point("chat.memory.database_tables:DatabaseTables.delete", "after"),
    "while adding items in the database": Point("chat.memory.database_tables:DatabaseTables.add", "after", 2),
}
# For tools of the installation (AGENT_TOOLS).
OWN_TOOLS = {"before a tool output is journaled": Point("chat.turns.journal:complete", "before")}


def kill_process() -> None:
    """End this process by SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def named_point() -> str:
    """Return the name of the point at which this process must end, or ""."""
    try:
        return Path(os.environ["KILL_POINT_FILE"]).read_text()
    except FileNotFoundError:
        return ""


def with_kill_point(function: Callable[..., Any], name: str, point: Point) -> Callable[..., Any]:
    """Return a function that calls another one, and ends the process at its point once the file names it."""
    numbers = count(1)

    def check_point(when: str, number: int) -> None:
        if (when, number) == (point.when, point.call):
            kill_process()

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
            if named_point() != name:
                return await function(*args, **kwargs)
            number = next(numbers)
            check_point("before", number)
            result = await function(*args, **kwargs)
            check_point("after", number)
            return result

        return async_wrapper
    lock = threading.Lock()

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if named_point() != name:
            return function(*args, **kwargs)
        with lock:
            number = next(numbers)
            check_point("before", number)
            result = function(*args, **kwargs)
            check_point("after", number)
            return result

    return wrapper


def main() -> None:
    """Serve until the process is killed at the named point."""
    import django

    os.environ.setdefault("DATABASE_POOL_SIZE", asgi_server.POOL_SIZE)
    django.setup(set_prefix=False)
    for name, point in (POINTS | OWN_TOOLS).items():
        module, _, path = point.where.partition(":")
        *owners, attribute = path.split(".")
        owner: Any = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, attribute, with_kill_point(getattr(owner, attribute), name, point))
    asgi_server.main()


if __name__ == "__main__":
    main()
