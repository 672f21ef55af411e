"""An abandoned stream is closed at once, not by the garbage collector."""

import uuid
from collections.abc import AsyncIterator

import pytest
from agents.items import TResponseStreamEvent
from agents.testing import ScriptedModel
from openai.types.responses import ResponseErrorEvent

from chat.assistant.endpoints import retrying
from chat.assistant.endpoints.retrying import Retrying
from chat.assistant.endpoints.validation.model import ValidModel
from chat.exceptions import ModelFailed
from chat.turns.journal import Journal
from chat.turns.log import TurnLog
from chat.turns.replay import ReplayModel

FAILED = ResponseErrorEvent(type="error", code=None, message="", param=None, sequence_number=0)


class Streams:
    """Create failing streams and keep references to them."""

    def __init__(self) -> None:
        self.closed: list[bool] = []
        self._streams: list[AsyncIterator[TResponseStreamEvent]] = []

    def ask(self) -> AsyncIterator[TResponseStreamEvent]:
        """Return a stream that never ends."""
        self._streams.append(self._failing(len(self.closed)))
        self.closed.append(False)
        return self._streams[-1]

    async def _failing(self, index: int) -> AsyncIterator[TResponseStreamEvent]:
        try:
            while True:
                yield FAILED
        finally:
            self.closed[index] = True


async def test_broken_stream_is_closed_before_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "BUDGET", 0.05)
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.01)
    streams = Streams()
    restarts: list[list[bool]] = []
    model = Retrying(ValidModel(ScriptedModel()), lambda: restarts.append(list(streams.closed)))

    with pytest.raises(ModelFailed):
        async for _ in model.watch([], streams.ask):
            pass

    assert len(restarts) > 1
    assert all(all(closed) for closed in restarts)
    assert all(streams.closed)


@pytest.mark.parametrize("layer", ["validation", "playback"])
async def test_closing_the_stream_of_a_layer_closes_the_stream_below(layer: str) -> None:
    streams = Streams()
    log = TurnLog(uuid.uuid4(), 1)
    model = ValidModel(ScriptedModel()) if layer == "validation" else ReplayModel(ScriptedModel(), Journal([], ()), log)

    watched = model.watch([], streams.ask)
    await anext(watched)
    await watched.aclose()  # type: ignore[attr-defined]  # every layer is a generator

    assert streams.closed == [True]
