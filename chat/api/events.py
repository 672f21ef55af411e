"""The events of a stream that follows a turn, as schemas (docs/reference/streams.md)."""

import uuid
from typing import Annotated, Any, Literal

from ninja import Field, Schema
from pydantic import RootModel


class MessageStart(Schema):
    """The text of the reply begins, or begins again: the client removes what it has shown of it."""

    type: Literal["message_start"]
    message_id: uuid.UUID = Field(description="The id of the reply.")
    thread_id: uuid.UUID
    turn_id: uuid.UUID


class ContentDelta(Schema):
    """More text, which follows the text so far."""

    type: Literal["content_delta"]
    delta: str


class ApprovalRequest(Schema):
    """A tool call that waits for a decision. The stream ends after the last of them."""

    type: Literal["approval_requested"]
    turn_id: uuid.UUID
    call_id: str = Field(examples=["call_1"])
    name: str = Field(examples=["delete_tasks"])
    arguments: Any = Field(description="The arguments of the call.", examples=[{"numbers": [1, 2]}])


class TurnWarning(Schema):
    """Something that the person is warned of."""

    code: str = Field(examples=["context_rebuilt"])
    detail: str


class MessageEnd(Schema):
    """The reply is complete. The stream ends."""

    type: Literal["message_end"]
    message_id: uuid.UUID | None = Field(description="Null if the turn was stopped before any text.")
    content: str = Field(description="The whole text, which replaces what was streamed.")
    status: Literal["done", "stopped"]
    warning: TurnWarning | None = Field(default_factory=lambda: None, description="Only if there is one.")


class TurnProblem(Schema):
    """Why a turn failed."""

    code: str = Field(examples=["model_error"])
    detail: str = Field(examples=["The model's endpoint is busy at the moment."])
    retryable: bool


class TurnError(Schema):
    """The turn failed. The stream ends."""

    type: Literal["error"]
    error: TurnProblem


class TurnEvent(RootModel[MessageStart | ContentDelta | ApprovalRequest | MessageEnd | TurnError]):
    """One event of a turn's stream."""

    root: Annotated[MessageStart | ContentDelta | ApprovalRequest | MessageEnd | TurnError, Field(discriminator="type")]
