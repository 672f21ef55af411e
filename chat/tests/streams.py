"""A reader of event streams, as an API client has it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

END_TYPES = frozenset({"message_end", "error", "approval_requested"})


@dataclass(frozen=True)
class ReceivedEvent:
    """A received event."""

    id: str
    data: dict[str, Any]

    @property
    def type(self) -> str:
        """The event's type."""
        return str(self.data["type"])


@dataclass
class Reader:
    """Parses a stream that arrives in arbitrary pieces; keeps the last event id when the stream is cut."""

    events: list[ReceivedEvent] = field(default_factory=list)
    comments: int = 0
    text: str = ""
    last_id: str = ""
    _rest: bytes = b""

    @property
    def ended(self) -> bool:
        """Whether the last event ends a stream."""
        return bool(self.events) and self.events[-1].type in END_TYPES

    def types(self) -> list[str]:
        """Return the types of the events; consecutive deltas count as one."""
        all_types = [event.type for event in self.events]
        return [kind for n, kind in enumerate(all_types) if kind != "content_delta" or all_types[n - 1 : n] != [kind]]

    def feed(self, data: bytes) -> None:
        """Add received bytes; an event counts once it is complete."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            lines = dict(line.split(": ", 1) for line in block.decode().split("\n") if not line.startswith(":"))
            if not lines:
                self.comments += 1
                continue
            assert set(lines) == {"id", "data"}, block
            self._take(ReceivedEvent(lines["id"], json.loads(lines["data"])))

    def cut(self) -> None:
        """Drop the incomplete event when the connection breaks."""
        self._rest = b""

    def _take(self, event: ReceivedEvent) -> None:
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
