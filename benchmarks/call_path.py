"""List the calls of product functions between a websocket frame and the call of the model.

    uv run python -m benchmarks.call_path

Runs one turn over the real socket, runner, stores and database, with the offline model. When the model is called, the
stack of its task and the stacks of the tasks that created it are read: a call is in the path if it has not returned.
"""

import asyncio
import json
import sys
import uuid
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

from benchmarks.place import isolated_environment, set_up

ROOT = Path(__file__).resolve().parent.parent
PRODUCT_FOLDERS = tuple(f"{ROOT / name}/" for name in ("chat", "config", "sessions_admin"))
# Calls that last as long as a connection: the path of a frame starts inside them.
TRANSPORT = {"application", "ChatSocket.__call__", "ChatSocket.dispatch"}


@dataclass(frozen=True, slots=True)
class Call:
    """A product function that has not returned."""

    name: str
    file: str


class CallPath:
    """The active calls at a moment, across the tasks that created each other."""

    def __init__(self) -> None:
        self._outer: WeakKeyDictionary[asyncio.Task[Any], list[Call]] = WeakKeyDictionary()

    def create_task(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> Any:
        """Create a task as the event loop does, and store the calls that led to it."""
        task = asyncio.Task(work, loop=loop, **options)
        self._outer[task] = self.calls()
        return task

    def calls(self) -> list[Call]:
        """Return the calls that led to the caller, the outermost first."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        outer = self._outer.get(task, []) if task else []
        return [*outer, *reversed(list(_frames(sys._getframe(1))))]


def _frames(frame: FrameType | None) -> Iterator[Call]:
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(PRODUCT_FOLDERS) and code.co_qualname not in TRANSPORT:
            yield Call(code.co_qualname, str(Path(code.co_filename).relative_to(ROOT)))
        frame = frame.f_back


async def one_turn() -> list[Call]:
    """Send a message over a websocket; return the calls from the frame to the model."""
    from channels.testing import WebsocketCommunicator

    from chat.accounts import tokens
    from chat.assistant.offline.model import OfflineModel
    from chat.infra.db_threads import in_database
    from chat.models import User
    from chat.realtime.consumer import application
    from chat.turns import process

    path = CallPath()
    paths: list[list[Call]] = []

    class Probe(OfflineModel):
        def stream_response(self, *args: Any, **kwargs: Any) -> Any:
            paths.append(path.calls())
            return super().stream_response(*args, **kwargs)

    user = await in_database(User.objects.create_user, "reader@example.com")
    token = await in_database(tokens.make, user=user, name="call path", scopes=["chat"])
    await process.start()
    process.current().turns.choose = lambda name: Probe()
    headers = [(b"authorization", f"Bearer {token.key}".encode())]
    socket = WebsocketCommunicator(application, f"/ws/chat/{uuid.uuid4()}/", headers=headers)
    await socket.connect()
    await socket.receive_json_from(timeout=5)
    asyncio.get_running_loop().set_task_factory(path.create_task)  # type: ignore[arg-type]
    frame = {"type": "message.send", "client_id": str(uuid.uuid4()), "text": "Hello"}
    await socket.send_to(text_data=json.dumps(frame))
    while (await socket.receive_json_from(timeout=5))["type"] != "turn.finished":
        pass
    await socket.disconnect()
    await process.drain(1)
    return paths[0]


def main() -> None:
    with isolated_environment(durable=False, OPENAI_API_KEY="", OPENAI_BASE_URL=""):
        set_up()
        calls = asyncio.run(one_turn())
        for n, call in enumerate(calls, 1):
            print(f"{n:3} {call.name:44} {call.file}")
        print(f"calls: {len(calls)}, files: {len({call.file for call in calls})}")


if __name__ == "__main__":
    main()
