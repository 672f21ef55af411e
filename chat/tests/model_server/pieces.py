"""Code shared by both formats: pieces of a stream, and the ids in it."""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

# "content" counts towards a fault's `after`; a broken stream never sends "closing".
Kind = Literal["frame", "content", "closing"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a stream as it goes over the wire; `delay` is in seconds before it."""

    data: bytes
    kind: Kind = "frame"
    delay: float = 0.0


def encode(shape: BaseModel) -> bytes:
    """Encode an object as the API does: without the fields that are not set."""
    return shape.model_dump_json(by_alias=True, exclude_unset=True).encode()


def error_body(message: str, *, kind: str, code: str | None) -> Mapping[str, Mapping[str, str | None]]:
    """Return an error in the format of both APIs: the client has no type for it and only reads these four fields."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class Ids:
    """Generate the ids of one response."""

    def __init__(self, *, repeated: bool) -> None:
        self._repeated = repeated
        self._counts: Counter[str] = Counter()

    def new(self, prefix: str) -> str:
        """Return the next id; repeated ids start at 0 in each response."""
        self._counts[prefix] += 1
        return f"{prefix}_{self._counts[prefix] - 1 if self._repeated else uuid.uuid4().hex}"
