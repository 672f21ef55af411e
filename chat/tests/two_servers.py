"""Two servers with sockets of one user at both, and a model that streams the words that a test releases."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chat.tests.live import LiveSocket, open_socket, sign_in
from chat.tests.model_server import ModelServer, text_reply
from chat.tests.redis_server import RedisServer
from config.tests.support import ServerProcess, eventually

WORDS = [f"word{n} " for n in range(60)]
REPLY = "".join(WORDS)


@dataclass
class ServerPair:
    """Two servers on one database, their Redis, and their model's endpoint."""

    a: ServerProcess
    b: ServerProcess
    redis: RedisServer
    endpoint_port: int
    model: ModelServer

    @asynccontextmanager
    async def open_sockets(self) -> AsyncIterator[tuple[LiveSocket, LiveSocket]]:
        """Open a conversation at both servers."""
        person, conversation_id = sign_in(self.a), uuid.uuid4()
        async with (
            open_socket(self.a, person, conversation_id) as at_a,
            open_socket(self.b, person, conversation_id) as at_b,
        ):
            await at_b.ready()
            yield at_a, at_b

    @asynccontextmanager
    async def with_model(self) -> AsyncIterator[None]:
        """Run the model's endpoint for a test, and wait until its turns have ended."""
        async with ModelServer(port=self.endpoint_port) as model:
            self.model = model
            yield
            model.play(*[text_reply("Over.")] * 20)
            model.release()
            active = "SELECT 1 FROM chat_turn WHERE status IN ('queued', 'running')"
            await asyncio.to_thread(eventually, lambda: not self.a.database.query(active), what="the end of all turns")

    async def start_turn(self, socket: LiveSocket, words: int = 5) -> str:
        """Send a message whose reply pauses after some words; return its turn's id."""
        self.model.pause()
        self.model.play(text_reply(*WORDS))
        self.model.release(words)
        turn_id = str((await socket.accepted(await socket.message("Talk to me")))["turn"]["id"])
        await wait_for_text(socket, turn_id)
        return turn_id


async def wait_for_text(socket: LiveSocket, turn_id: str, text: str = "word2") -> None:
    """Wait until a socket has received a part of a turn's reply."""
    await socket.until(lambda _: text in displayed_text(socket, turn_id))


def displayed_text(socket: LiveSocket, turn_id: str) -> str:
    """Return the text of a turn as a page shows it."""
    text = ""
    for frame in socket.log_of(turn_id):
        if frame["type"] in ("turn.snapshot", "turn.resumed"):
            text = frame["text"]
        elif frame["type"] == "text.delta":
            text = text[: frame["at"]] + frame["text"]
    return text


async def pending_call_id(socket: LiveSocket, turn_id: str) -> str:
    """Return the id of a turn's call that awaits approval, from an event or from a list of tool calls."""

    def calls() -> list[str]:
        found = []
        for frame in socket.log_of(turn_id):
            if frame["type"] == "approval.requested":
                found.append(str(frame["call_id"]))
            found += [str(tool["call_id"]) for tool in frame.get("tools", ()) if tool.get("approval") == "awaiting"]
        return found

    await socket.until(lambda _: bool(calls()))
    return calls()[0]
