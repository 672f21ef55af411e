"""The frames that clients send over the websocket (docs/reference/websocket.md)."""

import json
import uuid
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError

from chat.exceptions import BadJson, ThreadkeeperError
from chat.infra.invalid_values import invalid_values, listed
from chat.infra.json_text import read_json

# Characters of a text frame that are read at all: a message of 10,000 characters fits, however it is escaped.
FRAME_LENGTH = 128 * 1024
# Characters of the detail of an invalid frame, which quotes the frame.
DETAIL_LENGTH = 200


class BadFrame(ThreadkeeperError):
    """A text that is not a frame of the protocol."""

    code = "bad_frame"


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class MessageSend(_Frame):
    """Send a message of 1 to 10,000 characters. `client_id` is a uuid that the client makes. `model` names
    the model in a conversation that this message begins.
    """

    type: Literal["message.send"]
    client_id: uuid.UUID
    text: str
    model: Annotated[str, Field(max_length=255)] = ""  # of a conversation that this message begins


class TurnStop(_Frame):
    """Stop a turn that runs or waits."""

    type: Literal["turn.stop"]
    turn_id: uuid.UUID


class TurnRetry(_Frame):
    """Run a turn again that has ended. One that failed or was stopped (the last only) continues where it ended, and
    what its tools did is not done again. One that is done gets a new reply; all after it becomes an earlier version.
    """

    type: Literal["turn.retry"]
    turn_id: uuid.UUID
    client_id: uuid.UUID


class MessageEdit(_Frame):
    """Replace a message of the person. It and all after it become an earlier version; what tools did stays done."""

    type: Literal["message.edit"]
    message_id: uuid.UUID
    client_id: uuid.UUID
    text: str


class ApprovalDecide(_Frame):
    """Decide about a call that waits. A decided one is a `conflict`."""

    type: Literal["approval.decide"]
    turn_id: uuid.UUID
    call_id: Annotated[str, Field(max_length=128, pattern=r"^[^\x00]*$")]
    approve: StrictBool


class LogFollow(_Frame):
    """Follow a turn from after entry `after`; attempt 0 from its beginning. A socket has one follower per turn, which
    a new one replaces. While 32 other turns are not read to their end, it is `rate_limited`.
    """

    type: Literal["log.follow"]
    turn_id: uuid.UUID
    attempt: int = Field(ge=0, le=2**31)
    after: int = Field(ge=0, le=2**31)


class LogAck(_Frame):
    """Acknowledge what was read, at least once a second while frames arrive."""

    type: Literal["log.ack"]
    turn_id: uuid.UUID
    attempt: int = Field(ge=0, le=2**31)
    n: int = Field(ge=0, le=2**31)


class Ping(_Frame):
    """Ask for a `pong`."""

    type: Literal["ping"]
    n: int = 0


ClientFrame = MessageSend | MessageEdit | TurnStop | TurnRetry | ApprovalDecide | LogFollow | LogAck | Ping
_client_frame: TypeAdapter[ClientFrame] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="type")])


def parse(text: str) -> ClientFrame:
    """Read a client's frame; raise BadFrame."""
    if len(text) > FRAME_LENGTH:
        raise BadFrame("That is too large for a frame.")
    try:
        return _client_frame.validate_json(text)
    except ValidationError as error:
        try:
            read_json(text)
        except BadJson as bad:
            raise BadFrame(bad.detail) from None
        why = listed(invalid_values(error, skip=1))
        why = why if len(why) <= DETAIL_LENGTH else f"{why[: DETAIL_LENGTH - 1]}…"
        raise BadFrame(f"The frame cannot be read: {why}.") from None


def client_id_of(text: str) -> str | None:
    """Return the client's id in an invalid frame, so that the error can name it."""
    try:
        frame = json.loads(text if len(text) <= FRAME_LENGTH else "{}")
        return str(uuid.UUID(frame["client_id"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
