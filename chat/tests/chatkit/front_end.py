"""A client that speaks ChatKit's protocol over HTTP, as its front end does."""

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from chatkit.types import ThreadStreamEvent
from django.http import StreamingHttpResponse
from django.test import AsyncClient
from pydantic import TypeAdapter

from chat.api.streams import COMMENT
from chat.infra.db_threads import in_database
from chat.models import User
from chat.tests.api import bearer

PATH = "/api/chatkit"
Event = dict[str, Any]
_event: TypeAdapter[ThreadStreamEvent] = TypeAdapter(ThreadStreamEvent)


@dataclass
class FrontEnd:
    """A ChatKit front end of one user."""

    client: AsyncClient = field(default_factory=AsyncClient)
    headers: dict[str, str] = field(default_factory=dict)
    comments: int = 0

    async def post(self, kind: str, /, **params: Any) -> Any:
        """Send a request and return the response."""
        body = {"type": kind, "params": params}
        return await self.client.post(PATH, json.dumps(body), content_type="application/json", headers=self.headers)

    async def request_json(self, kind: str, /, **params: Any) -> Any:
        """Send a request whose response is JSON, and return the JSON."""
        response = await self.post(kind, **params)
        assert response.status_code == 200, response.content
        assert response["Content-Type"] == "application/json"
        return response.json()

    async def stream(self, kind: str, /, **params: Any) -> AsyncIterator[Event]:
        """Send a request whose response is a stream, and yield its events, each validated against the protocol."""
        response = await self.post(kind, **params)
        assert response.status_code == 200, response.content
        assert isinstance(response, StreamingHttpResponse)
        assert response["Content-Type"] == "text/event-stream"
        async for part in response:
            if part == COMMENT:
                self.comments += 1
                continue
            assert part.startswith(b"data: ")
            assert part.endswith(b"\n\n")
            _event.validate_json(part[6:])
            yield json.loads(part[6:])

    async def events(self, kind: str, /, **params: Any) -> list[Event]:
        """Return all events of a stream."""
        return [event async for event in self.stream(kind, **params)]

    async def create_thread(self, text: str) -> list[Event]:
        """Create a thread with a message, and return the events."""
        return await self.events("threads.create", input=message(text))

    async def send_message(self, thread_id: object, text: str) -> list[Event]:
        """Send a message in a thread, and return the events."""
        return await self.events("threads.add_user_message", thread_id=str(thread_id), input=message(text))

    async def send_action(
        self, thread_id: object, kind: str, payload: object = None, item_id: str | None = None
    ) -> list[Event]:
        """Send an action, as the button of a widget does, and return the events."""
        action = {"type": kind, "payload": payload}
        return await self.events("threads.custom_action", thread_id=str(thread_id), item_id=item_id, action=action)

    async def items(self, thread_id: object, **params: Any) -> list[Event]:
        """Return the items of a thread, oldest first."""
        page = await self.request_json("items.list", **({"thread_id": str(thread_id), "order": "asc"} | params))
        items: list[Event] = page["data"]
        return items


async def front_end(user: User) -> FrontEnd:
    """Return the front end of a user, authenticated by a token."""
    return FrontEnd(headers=await in_database(bearer, user, "chat"))


def message(text: str, **more: Any) -> dict[str, Any]:
    """Return the input of a message."""
    content = [{"type": "input_text", "text": text}]
    return {"content": content, "attachments": [], "inference_options": {}, **more}


def event_types(events: list[Event]) -> list[str]:
    """Return the type of each event of a stream; for an update, the type of the update."""
    return [event["update"]["type"] if "update" in event else event["type"] for event in events]


def completed_item(events: list[Event], kind: str) -> Event:
    """Return the only item of a type that a stream completes."""
    (item,) = [
        event["item"] for event in events if event["type"] == "thread.item.done" and event["item"]["type"] == kind
    ]
    assert isinstance(item, dict)
    return item


def joined_deltas(events: list[Event]) -> str:
    """Return the joined text of all deltas of a stream."""
    return "".join(event["update"].get("delta", "") for event in events if "update" in event)


def error_message(events: list[Event]) -> str:
    """Return the message of the error that ends a stream and allows no retry."""
    assert events[-1]["type"] == "error", events
    assert events[-1]["allow_retry"] is False
    return str(events[-1]["message"])


def text_of(item: Event) -> str:
    """Return the text of an item."""
    return "".join(part["text"] for part in item["content"])


def unknown_id() -> str:
    """Return an ID that does not exist."""
    return str(uuid.uuid4())
