"""The ChatKit protocol: one address, at which a ChatKit front end finds the conversations."""

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Field, Header, Router, Schema

from chat.api.caller import SignedIn, caller
from chat.chatkit.server import answer
from chat.chatkit.store import Asker
from chat.models.token import Scope

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
    params: dict[str, Any] = Field(description="As the protocol says for this type.", examples=[{"limit": 20}])
    metadata: dict[str, Any] = Field({}, description="Not looked at.")


EVENTS = "text/event-stream"
REPLIES = {
    "responses": {
        200: {
            "description": "What was asked for, or the events of a reply as they come.",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                EVENTS: {"schema": {"type": "string"}},
            },
        },
        404: {"description": "Not Found"},
        409: {"description": "Conflict"},
    }
}


@router.post("", openapi_extra=REPLIES)
async def chatkit(
    request: HttpRequest,
    payload: ChatKitRequest,
    idempotency_key: Annotated[str, Header(alias="Idempotency-Key", max_length=200)] = "",
) -> HttpResponseBase:
    """Answer a request of a ChatKit front end, of the version of `openai-chatkit` that is installed."""
    asker = Asker(caller(request).user.pk, idempotency_key)
    answered = await answer(request.body, asker)
    if isinstance(answered, bytes):
        return HttpResponse(answered, content_type="application/json")
    return StreamingHttpResponse(answered, content_type=EVENTS, headers={"X-Accel-Buffering": "no"})
