"""Messages that programs send to a thread, and the turns that answer them."""

import uuid
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Field, Header, Path, Router
from pydantic import StrictBool

from chat.api.auth import SignedIn, caller, credential_of
from chat.api.openapi import TURN_EVENT, events
from chat.api.schemas import ErrorReply, Input, Text
from chat.api.sse import position_of
from chat.api.streams import EVENTS, TurnStream, open_streams
from chat.api.threads import TurnLine
from chat.conversations import threads as record
from chat.exceptions import BadInput, KeyReused
from chat.infra.db_threads import in_database
from chat.models.conversation import USER_TEXT_LENGTH
from chat.models.token import Scope
from chat.turns import process

router = Router(tags=["messages"], auth=SignedIn(Scope.CHAT))

EXAMPLE = """\
id: 1-1
data: {"type":"message_start","message_id":"…","thread_id":"…","turn_id":"…"}

id: 1-3
data: {"type":"content_delta","delta":"Hello"}

id: 1-7
data: {"type":"content_delta","delta":" there!"}

id: 1-8
data: {"type":"message_end","message_id":"…","content":"Hello there!","status":"done"}
"""
STREAM: dict[str, Any] = {
    "responses": {
        200: {
            "description": "The turn's events; the first may be a comment, and comments come in between.",
            "content": {
                EVENTS: {"schema": events("The data of an event is a TurnEvent.", TURN_EVENT), "example": EXAMPLE}
            },
        }
    }
}

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key again does nothing again, and is answered in the same way.",
    ),
]
CallId = Path[Annotated[Text, Field(min_length=1)]]
LastEventId = Annotated[
    str,
    Header(alias="Last-Event-ID", max_length=255, description="The id of the last event seen: only later ones come."),
]


RESUMED_WITHOUT_KEY = (
    "A stream is resumed with the “Idempotency-Key” of the message; without one this would send the message again."
)


class NewMessage(Input):
    """A message."""

    text: Text = Field(min_length=1, max_length=USER_TEXT_LENGTH, examples=["Remind me to pay rent by Friday"])


class Decision(Input):
    """What is decided about a call."""

    approve: StrictBool


class NewTurn(TurnLine):
    """A turn that was accepted."""

    message_id: uuid.UUID = Field(validation_alias="prompt_id", description="The message that it answers.")
    ahead: int = Field(description="How many turns are answered before it.")
    replaces: uuid.UUID | None = Field(validation_alias="replaces_id", description="The turn whose place it takes.")


@router.post("/{thread_id}/messages", openapi_extra=STREAM)
async def send_message(
    request: HttpRequest,
    thread_id: uuid.UUID,
    body: NewMessage,
    idempotency_key: IdempotencyKey = "",
    last_event_id: LastEventId = "",
) -> TurnStream:
    """Send a message, and follow the reply as a stream of events. A thread in the archive or the trash comes back."""
    if last_event_id and not idempotency_key:
        raise BadInput(RESUMED_WITHOUT_KEY)
    theirs = {"user_id": caller(request).user.pk, "conversation_id": thread_id}
    async with open_streams.reserved(credential_of(request)) as slot:
        await in_database(record.check, **theirs)
        client_id = _client_id(thread_id, idempotency_key)
        accepted = await process.current().send(**theirs, client_id=client_id, text=body.text, model="")
        if accepted.message.text != body.text:
            raise KeyReused
        return TurnStream(slot, thread_id, accepted.turn.pk, position_of(last_event_id))


@router.get("/{thread_id}/turns/{turn_id}/events", openapi_extra=STREAM)
async def follow_turn(
    request: HttpRequest, thread_id: uuid.UUID, turn_id: uuid.UUID, last_event_id: LastEventId = ""
) -> TurnStream:
    """Follow a turn as a stream, from its beginning or from after the last event that was seen."""
    theirs = {"user_id": caller(request).user.pk, "conversation_id": thread_id}
    async with open_streams.reserved(credential_of(request)) as slot:
        await in_database(record.status_of, **theirs, turn_id=turn_id)
        return TurnStream(slot, thread_id, turn_id, position_of(last_event_id))


@router.post("/{thread_id}/turns/{turn_id}/stop", response=TurnLine)
async def stop_turn(request: HttpRequest, thread_id: uuid.UUID, turn_id: uuid.UUID) -> TurnLine:
    """Stop a turn, which ends soon after; its text so far stays. A turn that has ended stays as it is."""
    turn = {"user_id": caller(request).user.pk, "conversation_id": thread_id, "turn_id": turn_id}
    await process.current().stop(**turn)
    return await _line(turn)


@router.post("/{thread_id}/turns/{turn_id}/retry", response={200: NewTurn, 409: ErrorReply})
async def retry_turn(
    request: HttpRequest, thread_id: uuid.UUID, turn_id: uuid.UUID, idempotency_key: IdempotencyKey = ""
) -> NewTurn:
    """Run a turn again, in a new turn to follow. 409 while a reply runs or is queued."""
    accepted = await process.current().retry(
        user_id=caller(request).user.pk,
        conversation_id=thread_id,
        turn_id=turn_id,
        client_id=_client_id(thread_id, idempotency_key),
    )
    turn = accepted.turn
    if turn.replaces_id != turn_id:
        raise KeyReused
    ids = {"id": turn.pk, "prompt_id": turn.prompt_id, "replaces_id": turn.replaces_id}
    return NewTurn.model_validate(ids | {"status": turn.status, "ahead": accepted.ahead})


@router.post("/{thread_id}/turns/{turn_id}/approvals/{call_id}", response={200: TurnLine, 409: ErrorReply})
async def decide_approval(
    request: HttpRequest, thread_id: uuid.UUID, turn_id: uuid.UUID, call_id: CallId, body: Decision
) -> TurnLine:
    """Decide about a call that waits; after the last decision the turn continues. 409 if it was decided already."""
    turn = {"user_id": caller(request).user.pk, "conversation_id": thread_id, "turn_id": turn_id}
    await process.current().decide(**turn, call_id=call_id, approve=body.approve)
    return await _line(turn)


async def _line(turn: dict[str, uuid.UUID]) -> TurnLine:
    status = await in_database(record.status_of, **turn)
    return TurnLine.model_validate({"id": turn["turn_id"], "status": status})


def _client_id(thread_id: uuid.UUID, key: str) -> uuid.UUID:
    """Make of a program's key the id by which what it sends is known: a uuid is taken as it is, as over the socket."""
    if not key:
        return uuid.uuid4()
    try:
        return uuid.UUID(key)
    except ValueError:
        return uuid.uuid5(thread_id, key)
