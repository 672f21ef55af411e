"""A follower that is cut off again and again gets each event once, and ends with the text that everybody has."""

import random
import uuid
from dataclasses import dataclass, field
from functools import partial
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
        """Take an entry of the log that was asked for: just what comes next, and nothing twice."""
        assert frame["attempt"] == 1
        if frame["type"] == "text.delta":
            assert frame["at"] == len(self.text)
            assert frame["n"] > self.n
            self.text += frame["text"]
        else:
            assert frame["n"] == self.n + 1
            self.kinds.append(frame["type"])
        self.n = frame["n"]

    async def follow(self, socket: LiveSocket, newest: int) -> None:
        """Follow on from where it was left, once the socket has told by itself of all that there is."""
        await socket.until(lambda frame: frame.get("turn_id") == self.turn_id and frame["n"] >= newest)
        told = len(socket.frames)
        await socket.send("log.follow", turn_id=self.turn_id, attempt=1, after=self.n)
        await socket.until(lambda frame: frame.get("turn_id") == self.turn_id and frame["n"] >= newest, after=told)
        await socket.pong()
        for frame in socket.frames[told:]:
            if frame.get("turn_id") == self.turn_id:
                self.take(frame)
        assert self.n == newest


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
        reader = Reader(accepted["turn"]["id"])
        await patient.until(lambda frame: frame["type"] == "tool.finished")
        for read in accumulate(steps):
            said = len("".join(words[:read]))
            endpoint.release(read - reader.text.count(" "))
            newest = await patient.until(partial(_reaches, said))
            async with open_socket(scripted_server.server, person, conversation_id) as socket:
                await socket.ready()
                await reader.follow(socket, newest["n"])
                socket.connection.transport.abort()
        endpoint.release()
        end = await patient.end_of(reader.turn_id)
        async with open_socket(scripted_server.server, person, conversation_id) as socket:
            await socket.ready()
            before = len(socket.frames)
            await socket.send("log.follow", turn_id=reader.turn_id, attempt=1, after=reader.n)
            await socket.until(is_end, after=before)
            for frame in socket.frames[before:]:
                if frame.get("turn_id") == reader.turn_id:
                    reader.take(frame)

    log = patient.log_of(reader.turn_id)
    assert reader.text == check_log(log) == end["message"]["text"] == "".join(words) + "The end."
    assert reader.n == end["n"]
    assert reader.kinds == ["turn.started", "tool.started", "tool.finished", "turn.finished"]


def _reaches(length: int, frame: Frame) -> bool:
    return bool(frame["type"] == "text.delta" and frame["at"] + len(frame["text"]) >= length)
