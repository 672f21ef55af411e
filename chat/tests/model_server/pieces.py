"""What the two formats share: pieces of a stream, and the ids in it."""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

# "content" counts towards a fault's `after`; "closing" is what a broken stream never gets to.
Kind = Literal["frame", "content", "closing"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a stream as it goes over the wire; `delay` is in seconds before it."""

    data: bytes
    kind: Kind = "frame"
    delay: float = 0.0


def encode(shape: BaseModel) -> bytes:
    """Write a shape as the API does: without what was not said."""
    return shape.model_dump_json(by_alias=True, exclude_unset=True).encode()


def error_body(message: str, *, kind: str, code: str | None) -> Mapping[str, Mapping[str, str | None]]:
    """Return an error as both APIs write it: the client has no type for it, it only reads these four."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class Ids:
    """Gives out the ids of one response."""

    def __init__(self, *, repeated: bool) -> None:
        self._repeated = repeated
        self._given: Counter[str] = Counter()

    def new(self, prefix: str) -> str:
        """Return the next id; repeated ones begin at 0 in each response."""
        self._given[prefix] += 1
        return f"{prefix}_{self._given[prefix] - 1 if self._repeated else uuid.uuid4().hex}"
