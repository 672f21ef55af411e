"""A fake server end of a page's socket, for frames that a real server seldom sends."""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute, expect

from config.tests.support import eventually

NOW = "2026-03-13T10:00:00+00:00"


@dataclass
class FakeServer:
    """A fake server end of the page's socket."""

    page: Page
    sockets: list[WebSocketRoute] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    n: dict[str, int] = field(default_factory=dict)
    # The turns in the response when the page requests the state.
    state_turns: list[dict[str, Any]] | None = None
    revision: int = 0  # of the task list
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def open(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda text: self.received.append(json.loads(text)))
        self.send({"type": "ready", "protocol": 1, "conversation": None, "turns": []})

    def send(self, frame: dict[str, Any]) -> None:
        self.sockets[-1].send(json.dumps(frame))

    def frames_of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the page's frames of a type; the evaluation lets frames in flight arrive."""
        self.page.evaluate("1")
        return [frame for frame in self.received if frame["type"] == kind]

    @property
    def counts(self) -> dict[str, int]:
        """The number of open and of completed tasks."""
        completed = sum(task["is_completed"] for task in self.tasks)
        return {"open": len(self.tasks) - completed, "completed": completed}

    def change_tasks(self, tasks: list[dict[str, Any]]) -> None:
        """Send the next change of the task list."""
        since, self.revision = self.revision, self.revision + 1
        self.tasks = tasks
        changes = {"tasks": tasks, "removed": [], "counts": self.counts, "reload": False}
        self.send({"type": "tasks.changed", "since": since, "revision": self.revision, **changes})

    def wait_for(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = eventually(lambda: self.frames_of_type(kind), what=kind)[-1]
        return found

    def send_message(self, text: str) -> dict[str, Any]:
        """Send a message through the page and return its frame."""
        before = len(self.frames_of_type("message.send"))
        self.page.get_by_test_id("composer").fill(text)
        self.page.get_by_test_id("composer").press("Enter")
        frames: list[dict[str, Any]] = eventually(
            lambda: found if len(found := self.frames_of_type("message.send")) > before else None
        )
        return frames[-1]

    def answer_state(self, route: Route) -> None:
        """Respond to the page's request for the whole state."""
        conversation = {
            "id": route.request.url.split("?")[0].split("/")[-3],
            "title": "Played",
            "created_at": NOW,
            "updated_at": NOW,
        }
        tasks = {"tasks": self.tasks, "tasks_revision": self.revision, "task_counts": self.counts}
        sidebar = {**tasks, "conversations": [conversation], "memory_start": None}
        state = {
            "conversation_id": conversation["id"],
            "conversation": conversation,
            "turns": self.state_turns or [],
            **sidebar,
        }
        return route.fulfill(json=state)

    def add_turn(self, turn_id: str, prompt_text: str, reply: str | None = None, **fields: Any) -> None:
        """Add a turn to the response to a state request."""
        prompt = self.message("user", prompt_text, turn_id, 1)
        reply_message = self.message("assistant", reply, turn_id, 2) if reply else None
        turn = {
            "id": turn_id, "status": "done" if reply else "running", "attempt": 1, "text": "", "tools": [],
            "prompt_id": prompt["id"], "prompt_text": prompt_text, "prompt": prompt, "reply": reply_message,
            "warning": None, "error": None, "replaces": None, "versions": [turn_id], "kept": [],
        }  # fmt: skip
        self.state_turns = [*(self.state_turns or []), {**turn, **fields}]

    def accept(self, frame: dict[str, Any], status: str = "running", replaces: str | None = None) -> str:
        """Accept a message and return the ID of its turn."""
        turn_id = str(uuid.uuid4())
        position = 2 * len(self.turns) + 1
        self.turns.append(turn_id)
        message = self.message("user", frame["text"], turn_id, position)
        turn = {"id": turn_id, "status": status, "ahead": 0, "replaces": replaces}
        self.send({"type": "message.accepted", "client_id": frame["client_id"], "message": message, "turn": turn})
        return turn_id

    def message(self, role: str, text: str, turn_id: str, position: int) -> dict[str, Any]:
        location = {"position": position, "turn_id": turn_id}
        # A turn has one message of each role: the same ID in a frame and in a state response.
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, turn_id + role))
        return {"id": key, "role": role, "text": text, "created_at": NOW, **location}

    def send_turn_event(self, turn_id: str, kind: str, attempt: int = 1, **fields: Any) -> None:
        self.n[turn_id] = self.n.get(turn_id, 0) + 1
        self.send({"type": kind, "turn_id": turn_id, "attempt": attempt, "n": self.n[turn_id], **fields})

    def send_delta(self, turn_id: str, text: str, at: int = 0) -> None:
        self.send_turn_event(turn_id, "text.delta", text=text, at=at)

    def finish(self, turn_id: str, text: str) -> None:
        self.send_turn_event(turn_id, "turn.finished", message=self.message("assistant", text, turn_id, 2), usage={})

    def answer(self, text: str, reply: str) -> str:
        turn_id = self.accept(self.send_message(text))
        self.finish(turn_id, reply)
        expect(
            self.page.locator(f'[data-turn="{turn_id}"] [data-role="assistant"]:not([data-streaming])')
        ).to_be_visible()
        return turn_id
