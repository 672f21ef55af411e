"""The requests of an earlier version's clients to each entry point, and the shapes of the responses.

`python -m chat.tests.recorded URL EMAIL PASSWORD > chat/tests/recorded/VERSION.json` records a server of that version,
where the account is staff and has no tasks.
"""

import json
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

ENDS = ("turn.finished", "turn.stopped", "turn.failed")


@dataclass
class Exchange:
    """A request, described in words, and its response: the status, and the shape of each kind of message."""

    sent: str
    status: int
    shapes: dict[str, Any] = field(default_factory=dict)


def kind_of(event: dict[str, Any]) -> str:
    """Return the type of an event, with the type of its update or item."""
    subject = event.get("update") or event.get("item") or {}
    return "/".join([event["type"], *([subject["type"]] if "type" in subject else [])])


def shape_of(value: Any) -> Any:
    """Return the keys and the types of a JSON value; of a list, those of its first item."""
    match value:
        case dict():
            return {key: shape_of(entry) for key, entry in value.items()}
        case list():
            return [shape_of(value[0])] if value else []
        case int() | float() if not isinstance(value, bool):
            return "number"
        case None:
            return "null"
    return type(value).__name__


def breaking_changes(was: Any, now: Any, place: str = "") -> list[str]:
    """Return the differences that break a client: removed keys and changed types."""
    if was in ("null", []) or now == "null":
        return []
    match was, now:
        case dict(), dict():
            removed = [f"{place}.{key}" for key in was.keys() - now.keys()]
            return removed + [
                found
                for key in was.keys() & now.keys()
                for found in breaking_changes(was[key], now[key], f"{place}.{key}")
            ]
        case list(), list():
            return breaking_changes(was[0], now[0], f"{place}[]") if now else []
    return [] if was == now else [f"{place}: {was} is {now}"]


class Client:
    """A client that uses every entry point in turn, as a client of 0.5.0 does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.AsyncClient(base_url=url, timeout=60)
        self.exchanges: list[Exchange] = []
        self.frames: list[dict[str, Any]] = []  # received by the socket

    async def call(self, method: str, path: str, body: object = None, *, label: str = "", **headers: str) -> Any:
        """Send a request and record its response; return its JSON, or the events of a stream."""
        response = await self.http.request(method, path, json=body, headers=headers)
        name = label or re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "{id}", path)
        exchange = Exchange(f"{method} {name}", response.status_code)
        self.exchanges.append(exchange)
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
            exchange.shapes = {kind_of(event): shape_of(event) for event in events}
            return events
        data = response.json() if response.content else None
        exchange.shapes = {"": shape_of(data)}
        return data

    async def use_everything(self, email: str, password: str) -> list[Exchange]:
        """Use every entry point once."""
        login = await self.call("POST", "/api/auth/login", {"email": email, "password": password})
        self.http.headers["Authorization"] = f"Bearer {login['access_token']}"
        await self.accounts()
        await self.tasks()
        thread_id = await self.threads()
        await self.chatkit()
        await self.mcp()
        await self.socket(login["access_token"])
        await self.staff(login["user_id"], thread_id)
        await self.http.aclose()
        return self.exchanges

    async def accounts(self) -> None:
        await self.call("GET", "/api/auth/me")
        token = await self.call("POST", "/api/auth/tokens", {"name": f"t {uuid.uuid4()}", "scopes": ["chat", "tasks"]})
        await self.call("GET", "/api/auth/tokens")
        await self.call("DELETE", f"/api/auth/tokens/{token['token_id']}")

    async def tasks(self) -> None:
        task = await self.call("POST", "/api/tasks", {"title": "Buy milk", "due": "2030-12-24", "priority": "high"})
        path = f"/api/tasks/{task['task_id']}"
        await self.call("GET", "/api/tasks?status=pending&limit=10")
        await self.call("GET", path)
        await self.call("PATCH", path, {"title": "Buy oat milk", "due": None})
        await self.call("POST", f"{path}/complete")
        await self.call("POST", f"{path}/complete", label="/api/tasks/{id}/complete again")
        await self.call("DELETE", path)
        await self.call("GET", path, label="/api/tasks/{id} deleted")
        await self.call("POST", "/api/tasks", {"title": ""}, label="/api/tasks without a title")

    async def threads(self) -> str:
        thread = await self.call("POST", "/api/chatkit/threads", {})
        path = f"/api/chatkit/threads/{thread['thread_id']}"
        key = str(uuid.uuid4())
        message = {"text": "Add a task to buy bread"}
        events = await self.call("POST", f"{path}/messages", message, **{"Idempotency-Key": key})
        await self.call("POST", f"{path}/messages", message, label="the same message again", **{"Idempotency-Key": key})
        turn = f"{path}/turns/{events[0]['turn_id']}"
        await self.call("GET", f"{turn}/events")
        await self.call("POST", f"{turn}/stop")
        retried = await self.call("POST", f"{turn}/retry")
        await self.call("GET", f"{path}/turns/{retried['turn_id']}/events")
        await self.call("POST", "/api/tasks", {"title": "Buy eggs"})
        asked = await self.call("POST", f"{path}/messages", {"text": "Delete all my tasks"}, label="a question")
        call = next(event for event in asked if event["type"] == "approval_requested")
        decision = f"{path}/turns/{call['turn_id']}/approvals/{call['call_id']}"
        await self.call("POST", decision, {"approve": False}, label="a decision")
        await self.call("GET", f"{path}/turns/{call['turn_id']}/events", label="after the decision")
        found = await self.call("GET", f"{path}?limit=20")
        await self.call("GET", f"{path}/messages/{found['messages'][0]['message_id']}")
        await self.call("PATCH", path, {"title": "Shopping"})
        for verb in ("pin", "unpin", "archive", "unarchive"):
            await self.call("POST", f"{path}/{verb}")
        await self.call("GET", "/api/chatkit/threads?status=active")
        await self.call("GET", "/api/search?q=bread")
        await self.call("GET", f"{path}/export?format=json")
        await self.call("DELETE", path)
        await self.call("POST", f"{path}/restore")
        return str(thread["thread_id"])

    async def chatkit(self) -> None:
        text = [{"type": "input_text", "text": "What is on my list?"}]
        message = {"content": text, "attachments": [], "inference_options": {}}

        async def ask(kind: str, params: object) -> Any:
            return await self.call("POST", "/api/chatkit", {"type": kind, "params": params}, label=f"ChatKit {kind}")

        events = await ask("threads.create", {"input": message})
        thread_id = next(event for event in events if event["type"] == "thread.created")["thread"]["id"]
        await ask("threads.add_user_message", {"thread_id": thread_id, "input": message})
        await ask("threads.get_by_id", {"thread_id": thread_id})
        await ask("threads.list", {"limit": 10, "order": "desc"})
        await ask("items.list", {"thread_id": thread_id, "limit": 10, "order": "desc"})
        await ask("threads.update", {"thread_id": thread_id, "title": "Other"})
        await ask("threads.delete", {"thread_id": thread_id})

    async def mcp(self) -> None:
        async def ask(method: str, params: object) -> None:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            accept = {"Accept": "application/json, text/event-stream"}
            await self.call("POST", "/mcp", body, label=f"MCP {method}", **accept)

        await ask("tools/list", {})
        await ask("tools/call", {"name": "create_task", "arguments": {"title": "Buy tea"}})
        await ask("tools/call", {"name": "list_tasks", "arguments": {}})
        await ask("tools/call", {"name": "complete_task", "arguments": {"number": 999}})

    async def socket(self, token: str) -> None:
        url = f"{self.url.replace('http', 'ws', 1)}/ws/chat/{uuid.uuid4()}/"
        frames: dict[str, Any] = {}
        async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as socket:

            async def until(*kinds: str) -> dict[str, Any]:
                async for data in socket:
                    frame: dict[str, Any] = json.loads(data)
                    self.frames.append(frame)
                    frames.setdefault(frame["type"], shape_of(frame))
                    if "n" in frame and "turn_id" in frame:
                        place = {key: frame[key] for key in ("turn_id", "attempt", "n")}
                        await socket.send(json.dumps({"type": "log.ack", **place}))
                    if frame["type"] in kinds:
                        return frame
                raise AssertionError("closed")

            async def send(**frame: object) -> None:
                await socket.send(json.dumps(frame))

            await until("ready")
            await send(type="ping", n=1)
            await until("pong")
            await send(type="message.send", client_id=str(uuid.uuid4()), text="Add a task to call Ann tomorrow")
            accepted = await until("message.accepted")
            turn_id = accepted["turn"]["id"]
            await until(*ENDS)
            await send(type="log.follow", turn_id=turn_id, attempt=0, after=0)
            await until(*ENDS, "turn.snapshot")
            message_id = accepted["message"]["id"]
            edit = {"message_id": message_id, "client_id": str(uuid.uuid4()), "text": "Add a task to call Bob"}
            await send(type="message.edit", **edit)
            edited = await until("message.accepted")
            await until(*ENDS)
            await send(type="turn.retry", turn_id=edited["turn"]["id"], client_id=str(uuid.uuid4()))
            await until("message.accepted")
            await until(*ENDS)
            await send(type="message.send", client_id=str(uuid.uuid4()), text="Delete all my tasks")
            asked = await until("approval.requested")
            decision = {"turn_id": asked["turn_id"], "call_id": asked["call_id"], "approve": False}
            await send(type="approval.decide", **decision)
            await until(*ENDS)
            await send(type="turn.stop", turn_id=str(uuid.uuid4()))
            await until("error")
        # The type of the frame of a log entry depends on when it is read.
        for name in ("turn.queued", "turn.started", "turn.snapshot", "turn.resumed", "tool.started"):
            frames.pop(name, None)
        frames.pop("tasks.changed", None)  # 0.6.0 sends what has changed instead of the whole list
        self.exchanges.append(Exchange("the socket", 101, frames))

    async def staff(self, user_id: str, thread_id: str) -> None:
        path = f"/api/sessions/user_{user_id}_conv_{thread_id}"
        await self.call("GET", "/api/sessions?state=active", label="/api/sessions?state")
        await self.call("GET", path, label="a session")
        await self.call("GET", f"{path}?items=true&reason=asked", label="a session's items")
        for verb in ("prune", "rebuild", "hold", "release", "clear"):
            await self.call("POST", f"{path}/{verb}", {"reason": "asked"}, label=f"a session: {verb}")
        run = await self.call("POST", "/api/cleanup-runs", {"dry_run": True})
        await self.call("GET", f"/api/cleanup-runs/{run['run_id']}")


def load(version: str) -> list[Exchange]:
    """Return the recording of a version."""
    recorded = json.loads(Path(__file__).with_name(f"{version}.json").read_text())
    return [Exchange(**each) for each in recorded]
