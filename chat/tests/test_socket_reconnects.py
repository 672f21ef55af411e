"""A follower that is cut off again and again gets each event once, and ends with the text that everybody has."""

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from itertools import accumulate

import pytest

from chat.tests.live import (
    Frame,
    LiveSocket,
    ScriptedServer,
    check_log,
    endpoint,
    is_end,
    open_socket,
    sign_in,
)
from chat.tests.model_server import Call, ModelServer, calls, says

pytestmark = pytest.mark.service

__all__ = ["endpoint"]

CUTS = 50
LONGEST_STEP = 12  # words between two cuts


@dataclass
class Reader:
    """What a page makes of a turn's log, over as many sockets as it takes."""

    turn_id: str
    n: int = 0
    text: str = ""
    kinds: list[str] = field(default_factory=list)

    def take(self, frame: Frame) -> None:
        """Take an entry of the log; what was seen before is passed over by its number."""
        assert frame["attempt"] == 1
        if frame["n"] <= self.n:
            return
        if frame["type"] == "text.delta":
            # What a new socket tells of itself, before it is asked, begins at the beginning.
            assert frame["at"] <= len(self.text)
            again = self.text[frame["at"] :]
            assert frame["text"].startswith(again) and frame["text"] != again
            self.text += frame["text"].removeprefix(again)
        else:
            assert frame["n"] == self.n + 1 or self.n == 0
            self.kinds.append(frame["type"])
        self.n = frame["n"]

    async def follow(self, socket: LiveSocket, words: int) -> None:
        """Follow on from where it was left, until so many words were read; nothing that was asked for comes twice."""
        await socket.send("log.follow", turn_id=self.turn_id, attempt=1, after=self.n)
        await socket.pong()
        asked = len(socket.frames)
        for frame in socket.log_of(self.turn_id):
            self.take(frame)
        await self._until(socket, asked, words)

    async def _until(self, socket: LiveSocket, start: int, words: int) -> None:
        async with asyncio.timeout(20):
            while True:
                for frame in socket.frames[start:]:
                    if frame.get("turn_id") != self.turn_id:
                        continue
                    # Behind the answer to the ping there is only the follower that was asked for.
                    assert frame["n"] > self.n, "told twice"
                    assert frame["type"] != "text.delta" or frame["at"] == len(self.text)
                    self.take(frame)
                start = len(socket.frames)
                if self.text.count(" ") >= words:
                    return
                await socket.until(lambda frame: frame.get("turn_id") == self.turn_id, after=start)


@pytest.mark.parametrize("seed", [1, 2])
async def test_50_cuts_at_random_places_cost_nothing_and_repeat_nothing(
    scripted_server: ScriptedServer, endpoint: ModelServer, seed: int
) -> None:
    chance = random.Random(seed)
    steps = [chance.randint(1, LONGEST_STEP) for _ in range(CUTS)]
    words = [f"wörd{n}🧵 " for n in range(sum(steps))]
    endpoint.play(calls(Call("create_task", {"title": f"Listen {seed}"})), says(*words, "The end."))
    endpoint.hold()
    person, conversation_id = sign_in(scripted_server.server), uuid.uuid4()

    async with open_socket(scripted_server.server, person, conversation_id) as patient:
        accepted = await patient.accepted(await patient.message("tell me everything"))
        endpoint.release(3)  # the pieces of the call
        turn_id = accepted["turn"]["id"]
        await patient.until(lambda frame: frame["type"] == "tool.finished")
        reader = Reader(turn_id)
        for step, read in zip(steps, accumulate(steps), strict=True):
            endpoint.release(step)
            async with open_socket(scripted_server.server, person, conversation_id) as socket:
                await socket.ready()
                # Not all that is there, so that what is under way is lost with the socket.
                await reader.follow(socket, chance.randint(read - step, read))
                socket.connection.transport.abort()
        endpoint.release()
        async with open_socket(scripted_server.server, person, conversation_id) as socket:
            await socket.ready()
            await socket.send("log.follow", turn_id=turn_id, attempt=1, after=reader.n)
            await socket.end_of(turn_id)
            for frame in socket.log_of(turn_id):
                reader.take(frame)
        await patient.end_of(turn_id)

    log = patient.log_of(turn_id)
    assert reader.text == check_log(log) == log[-1]["message"]["text"] == "".join(words) + "The end."
    assert reader.n == log[-1]["n"]
    assert is_end(log[-1])
    assert reader.kinds == ["turn.started", "tool.started", "tool.finished", "turn.finished"]
