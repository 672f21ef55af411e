"""How tests read streams of events, as a program would."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

ENDS = frozenset({"message_end", "error", "approval_requested"})


@dataclass(frozen=True)
class Told:
    """An event as it arrived."""

    id: str
    data: dict[str, Any]

    @property
    def type(self) -> str:
        """Its type."""
        return str(self.data["type"])


@dataclass
class Reader:
    """Puts a stream together, whatever the pieces it comes in; of one that is cut the last id stays."""

    events: list[Told] = field(default_factory=list)
    comments: int = 0
    text: str = ""
    last_id: str = ""
    _rest: bytes = b""

    @property
    def ended(self) -> bool:
        """Whether the last event was one that ends a stream."""
        return bool(self.events) and self.events[-1].type in ENDS

    def types(self) -> list[str]:
        """Return the types of the events, adjoining deltas as one."""
        found = [event.type for event in self.events]
        return [kind for n, kind in enumerate(found) if kind != "content_delta" or found[n - 1 : n] != [kind]]

    def feed(self, data: bytes) -> None:
        """Take what arrived; an event counts once it is whole."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            lines = dict(line.split(": ", 1) for line in block.decode().split("\n") if not line.startswith(":"))
            if not lines:
                self.comments += 1
                continue
            assert set(lines) == {"id", "data"}, block
            self._take(Told(lines["id"], json.loads(lines["data"])))

    def cut(self) -> None:
        """Forget what was not whole when the connection broke."""
        self._rest = b""

    def _take(self, event: Told) -> None:
        self.events.append(event)
        self.last_id = event.id
        if event.type == "message_start":
            self.text = ""
        elif event.type == "content_delta":
            self.text += event.data["delta"]
        elif event.type == "message_end" and any(event.type == "message_start" for event in self.events):
            assert event.data["content"] == self.text


async def read(parts: AsyncIterator[bytes], reader: Reader | None = None) -> Reader:
    """Read a stream to its end."""
    reader = reader or Reader()
    async for part in parts:
        reader.feed(part)
    return reader
