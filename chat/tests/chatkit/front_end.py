"""How tests speak ChatKit's protocol: as a front end does, over HTTP."""

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
    """A ChatKit front end of one person."""

    client: AsyncClient = field(default_factory=AsyncClient)
    headers: dict[str, str] = field(default_factory=dict)
    comments: int = 0

    async def post(self, kind: str, /, **params: Any) -> Any:
        """Send a request; return the response as it is."""
        body = {"type": kind, "params": params}
        return await self.client.post(PATH, json.dumps(body), content_type="application/json", headers=self.headers)

    async def ask(self, kind: str, /, **params: Any) -> Any:
        """Send a request that is answered by JSON."""
        answer = await self.post(kind, **params)
        assert answer.status_code == 200, answer.content
        assert answer["Content-Type"] == "application/json"
        return answer.json()

    async def stream(self, kind: str, /, **params: Any) -> AsyncIterator[Event]:
        """Send a request that is answered by a stream, and yield its events, each of which the protocol knows."""
        answer = await self.post(kind, **params)
        assert answer.status_code == 200, answer.content
        assert isinstance(answer, StreamingHttpResponse)
        assert answer["Content-Type"] == "text/event-stream"
        async for part in answer:
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

    async def begin(self, text: str) -> list[Event]:
        """Begin a thread by a message."""
        return await self.events("threads.create", input=message(text))

    async def say(self, thread_id: object, text: str) -> list[Event]:
        """Say something in a thread."""
        return await self.events("threads.add_user_message", thread_id=str(thread_id), input=message(text))

    async def act(
        self, thread_id: object, kind: str, payload: object = None, item_id: str | None = None
    ) -> list[Event]:
        """Send an action, as a widget's button does."""
        action = {"type": kind, "payload": payload}
        return await self.events("threads.custom_action", thread_id=str(thread_id), item_id=item_id, action=action)

    async def items(self, thread_id: object, **params: Any) -> list[Event]:
        """Return a thread's items, the oldest first."""
        page = await self.ask("items.list", **({"thread_id": str(thread_id), "order": "asc"} | params))
        items: list[Event] = page["data"]
        return items


async def front_end(user: User) -> FrontEnd:
    """Return a person's front end, which shows a token."""
    return FrontEnd(headers=await in_database(bearer, user, "chat"))


def message(text: str, **more: Any) -> dict[str, Any]:
    """Make the input of a message."""
    content = [{"type": "input_text", "text": text}]
    return {"content": content, "attachments": [], "inference_options": {}, **more}


def kinds(events: list[Event]) -> list[str]:
    """Return what the events of a stream are, of updates what they update."""
    return [event["update"]["type"] if "update" in event else event["type"] for event in events]


def done(events: list[Event], kind: str) -> Event:
    """Return the one item of a kind that a stream says is done."""
    (item,) = [
        event["item"] for event in events if event["type"] == "thread.item.done" and event["item"]["type"] == kind
    ]
    assert isinstance(item, dict)
    return item


def deltas(events: list[Event]) -> str:
    """Return the text that a stream gave piece by piece."""
    return "".join(event["update"].get("delta", "") for event in events if "update" in event)


def error_of(events: list[Event]) -> str:
    """Return the sentence of the error that a stream ends with, and nothing is to be tried again."""
    assert events[-1]["type"] == "error", events
    assert events[-1]["allow_retry"] is False
    return str(events[-1]["message"])


def text_of(item: Event) -> str:
    """Return what an item says."""
    return "".join(part["text"] for part in item["content"])


def nothing() -> str:
    """Return an id that nothing has."""
    return str(uuid.uuid4())
