"""The ChatKit protocol: one address, at which a ChatKit front end finds the conversations."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import copy_context
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Field, Header, Router, Schema

from chat.api.auth import SignedIn, caller, credential_of
from chat.api.openapi import events
from chat.api.streams import COMMENT, EVENTS, OpenStream, open_streams
from chat.chatkit.items import STOP
from chat.chatkit.server import answer
from chat.chatkit.store import Client
from chat.models.token import Scope
from chat.realtime.connections import Slot

router = Router(tags=["chatkit"], auth=SignedIn(Scope.CHAT))


class ChatKitRequest(Schema):
    """A request of the protocol."""

    type: Literal[
        "attachments.create",
        "attachments.delete",
        "input.transcribe",
        "items.feedback",
        "items.list",
        "threads.add_client_tool_output",
        "threads.add_structured_input",
        "threads.add_user_message",
        "threads.create",
        "threads.custom_action",
        "threads.delete",
        "threads.get_by_id",
        "threads.list",
        "threads.retry_after_item",
        "threads.sync_custom_action",
        "threads.update",
    ] = Field(examples=["threads.list"])
    params: dict[str, Any] = Field(description="The parameters of the type in the protocol.", examples=[{"limit": 20}])
    metadata: dict[str, Any] = Field({}, description="Ignored.")


ANY_EVENT: dict[str, Any] = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
REPLIES = {
    "responses": {
        200: {
            "description": "What was asked for, or the events of a reply as they come.",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                EVENTS: {"schema": events("The data of an event is an event of the protocol.", ANY_EVENT)},
            },
        },
        404: {"description": "Not Found"},
        409: {"description": "Conflict"},
    }
}


# The requests that are answered by a stream.
STREAMED = frozenset(
    {
        "threads.create",
        "threads.add_user_message",
        "threads.retry_after_item",
        "threads.custom_action",
        "threads.add_client_tool_output",
        "threads.add_structured_input",
    }
)
# Places beyond the limit, so that a turn can be stopped while all others are taken.
PLACES_TO_STOP = 5


class ChatKitStream(OpenStream):
    """The events that answer a request; they end with the login or token that asked, and with the server."""

    def __init__(self, slot: Slot[OpenStream], events: AsyncGenerator[bytes, None]) -> None:
        self._events = events
        super().__init__(slot, self._body())

    async def _body(self) -> AsyncGenerator[bytes, None]:
        self.slot.open(self)
        # One for all steps: the package sets a variable of the context in one and resets it in another.
        context = copy_context()
        try:
            async with aclosing(self.with_heartbeats(self._events, context)) as events:
                async for event in events:
                    yield event if event is not None else COMMENT
        finally:
            self.slot.release()
            await asyncio.create_task(_close(self._events), context=context)


async def _close(events: AsyncGenerator[bytes, None]) -> None:
    await events.aclose()


@router.post("", openapi_extra=REPLIES)
async def chatkit(
    request: HttpRequest,
    payload: ChatKitRequest,
    idempotency_key: Annotated[str, Header(alias="Idempotency-Key", max_length=200)] = "",
) -> HttpResponseBase:
    """Answer a request of a ChatKit front end, of the version of `openai-chatkit` that is installed."""
    client = Client(caller(request).user.pk, idempotency_key)
    if payload.type not in STREAMED:
        result = await answer(request.body, client)
        assert isinstance(result, bytes)
        return HttpResponse(result, content_type="application/json")
    action = payload.params.get("action")
    stops = isinstance(action, dict) and action.get("type") == STOP
    async with open_streams.reserved(credential_of(request), spare=PLACES_TO_STOP * stops) as slot:
        result = await answer(request.body, client)
        assert not isinstance(result, bytes)
        return ChatKitStream(slot, result)
