"""The to-do list over the API, as its contract says, field by field."""

import asyncio
import json
import uuid
from datetime import datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import connections
from django.test import AsyncClient, Client

from chat.infra.notifications import user_group
from chat.models import Task, User
from chat.tasks.services import complete_task, create_task
from chat.tests.api import bearer, error_of

pytestmark = pytest.mark.django_db
TASKS = "/api/tasks"
FIELDS = {
    "task_id", "number", "title", "description", "due", "priority", "is_completed", "created_at", "updated_at",
    "completed_at",
}  # fmt: skip


class Program:
    """A program with a token."""

    def __init__(self, user: User, *scopes: str) -> None:
        self.headers = bearer(user, *scopes)
        self.client = Client()

    def ask(self, method: str, path: str = "", body: object = None) -> Any:
        """Send a request; a body is sent as JSON."""
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return self.client.generic(method, TASKS + path, headers=self.headers, **data)  # type: ignore[arg-type]


@pytest.fixture
def program(owner: User) -> Program:
    return Program(owner, "tasks")


def every_operation(task_id: object) -> list[tuple[str, str, object]]:
    return [
        ("GET", "", None),
        ("POST", "", {"title": "Buy milk"}),
        ("GET", f"/{task_id}", None),
        ("PATCH", f"/{task_id}", {"title": "Buy bread"}),
        ("POST", f"/{task_id}/complete", None),
        ("DELETE", f"/{task_id}", None),
        ("POST", f"/changes/{task_id}/undo", None),
    ]


def test_a_task_is_made_shown_changed_completed_and_deleted(program: Program, owner: User) -> None:
    made = program.ask("POST", "", {"title": " Buy  milk ", "due": "2026-12-24T18:00", "priority": "high"})
    assert made.status_code == 201
    task = made.json()
    assert set(task) == FIELDS
    assert (task["number"], task["title"], task["description"]) == (1, "Buy milk", "")
    assert (task["due"], task["priority"]) == ("2026-12-24T18:00", "high")
    assert (task["is_completed"], task["completed_at"]) == (False, None)
    stored = Task.objects.get()
    assert (task["task_id"], stored.user_id) == (str(stored.pk), owner.pk)
    assert datetime.fromisoformat(task["created_at"]) == stored.created_at

    path = f"/{task['task_id']}"
    assert program.ask("GET", path).json() == task
    changed = program.ask("PATCH", path, {"due": "2026-12-25", "description": "Oat"})
    assert changed.status_code == 200
    unchanged = FIELDS - {"due", "description", "updated_at"}
    assert {name: changed.json()[name] for name in unchanged} == {name: task[name] for name in unchanged}
    assert (changed.json()["due"], changed.json()["description"]) == ("2026-12-25", "Oat")
    for none in (None, ""):
        assert program.ask("PATCH", path, {"due": "2026-12-25"}).json()["due"] == "2026-12-25"
        assert program.ask("PATCH", path, {"due": none}).json()["due"] is None

    completed = program.ask("POST", f"{path}/complete")
    assert (completed.status_code, completed.json()["is_completed"]) == (200, True)
    assert completed.json()["completed_at"] is not None
    assert error_of(program.ask("POST", f"{path}/complete"), 409) == "already_completed"
    assert program.ask("PATCH", path, {"is_completed": False}).json()["completed_at"] is None

    deleted = program.ask("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert error_of(program.ask("GET", path), 404) == "not_found"
    assert program.ask("POST", "", {"title": "Another"}).json()["number"] == 2


def test_when_it_is_due_is_also_taken_by_its_name_in_the_tools(program: Program) -> None:
    made = program.ask("POST", "", {"title": "Buy milk", "due_date": "2026-12-24", "due_time": "18:00"}).json()
    path = f"/{made['task_id']}"
    moved = program.ask("PATCH", path, {"due_date": "2026-12-25"}).json()
    cleared = program.ask("PATCH", path, {"due_date": None}).json()

    assert [task["due"] for task in (made, moved, cleared)] == ["2026-12-24T18:00", "2026-12-25", None]
    for body in ({"due": "2026-12-24", "due_date": "2026-12-25"}, {"due_time": "18:00"}):
        assert error_of(program.ask("PATCH", path, body), 422) == "invalid"


def test_a_task_can_be_made_as_done(program: Program) -> None:
    made = program.ask("POST", "", {"title": "Buy milk", "is_completed": True}).json()
    assert (made["is_completed"], made["completed_at"] is not None) == (True, True)


def test_what_is_sent_back_as_it_was_changes_nothing(program: Program) -> None:
    task = program.ask("POST", "", {"title": "Buy milk", "due": "2026-12-24T18:00", "priority": "low"}).json()
    stored = Task.objects.get()
    nothing: dict[str, object] = {}
    for body in (task, nothing):
        again = program.ask("PATCH", f"/{task['task_id']}", body)
        assert again.json() == task
        assert "Task-Change" not in again
    assert Task.objects.get().revision == stored.revision


def test_the_list_is_narrowed_and_comes_a_page_at_a_time(program: Program, owner: User) -> None:
    for n in range(1, 6):
        create_task(user_id=owner.pk, title=f"Task {n}")
    for number in (2, 4):
        complete_task(user_id=owner.pk, number=number)

    def numbers(query: str) -> list[int]:
        answer = program.ask("GET", query).json()
        assert set(answer) == {"items", "has_more", "after"}
        assert all(set(item) == FIELDS for item in answer["items"])
        found = [item["number"] for item in answer["items"]]
        assert answer["has_more"] == (answer["after"] is not None)
        return found + (numbers(f"{query}&after={answer['after']}") if answer["has_more"] else [])

    assert numbers("") == [1, 2, 3, 4, 5]
    assert numbers("?status=pending") == [1, 3, 5]
    assert numbers("?status=completed&limit=1") == [2, 4]
    assert numbers("?limit=2&status=all") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("query", ["?status=done", "?limit=0", "?limit=101"])
def test_a_list_that_there_is_not_is_refused(program: Program, query: str) -> None:
    assert error_of(program.ask("GET", query), 422) == "invalid"


@pytest.mark.parametrize("after", ["-", "Wy0xXQ", "WzFd" * 9, "WzQyOTQ5NjcyOTZd", "WyIxIl0"])
def test_a_cursor_that_nobody_gave_out_is_refused(program: Program, after: str) -> None:
    assert error_of(program.ask("GET", f"?after={after}"), 400) == "bad_cursor"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": "  "}, "title"),
        ({"title": "x" * 101}, "title"),
        ({"title": "x\0"}, "title"),
        ({"title": 7}, "title"),
        ({"title": "x", "description": "x" * 1001}, "description"),
        ({"title": "x", "description": None}, "description"),
        ({"title": "x", "due": "tomorrow"}, "due"),
        ({"title": "x", "due": "2026-02-30"}, "due"),
        ({"title": "x", "due": "20260201"}, "due"),
        ({"title": "x", "due": "0000-01-01"}, "due"),
        ({"title": "x", "due": "2026-02-01T25:00"}, "due"),
        ({"title": "x", "due": "2026-02-01T10:00Z"}, "due"),
        ({"title": "x", "due": 20260201}, "due"),
        ({"title": "x", "priority": "urgent"}, "priority"),
        ({"title": "x", "is_completed": "yes"}, "is_completed"),
    ],
)
def test_what_does_not_fit_is_told_by_field(program: Program, body: dict[str, object], field: str) -> None:
    answer = program.ask("POST", "", body)
    assert error_of(answer, 422) == "invalid"
    assert [name.split(".")[0] for name in answer.json()["error"]["fields"]] == [field]
    assert Task.objects.count() == 0


def test_every_operation_needs_a_token_with_the_scope(owner: User) -> None:
    task = create_task(user_id=owner.pk, title="Buy milk")
    program, nobody = Program(owner, "chat"), Program(owner)
    nobody.headers = {}
    for method, path, body in every_operation(task.pk):
        assert error_of(nobody.ask(method, path, body), 401) == "not_signed_in", (method, path)
        answer = program.ask(method, path, body)
        assert error_of(answer, 403) == "forbidden", (method, path)
        assert "“tasks”" in answer.json()["error"]["detail"]
    assert Task.objects.get().title == "Buy milk"


@pytest.mark.parametrize("who", ["outsider", "staff"])
def test_somebody_elses_task_does_not_exist(owner: User, outsider: User, staff: User, who: str) -> None:
    task = create_task(user_id=owner.pk, title="Buy milk")
    program = Program({"outsider": outsider, "staff": staff}[who])
    theirs, none = every_operation(task.pk), every_operation(uuid.uuid4())
    for (method, path, body), (_, other, _) in zip(theirs[2:], none[2:], strict=True):
        answer = program.ask(method, path, body)
        assert error_of(answer, 404) == "not_found", (method, path)
        assert answer.json() == program.ask(method, other, body).json()
    assert program.ask("GET").json()["items"] == []
    assert (Task.objects.get().title, Task.objects.get().completed_at) == ("Buy milk", None)


@pytest.mark.django_db(transaction=True)
async def test_open_pages_are_told_of_every_change(owner: User) -> None:
    headers = await sync_to_async(bearer)(owner, "tasks")
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(user_group(owner.pk), channel)
    client = AsyncClient()

    async def send(method: str, path: str, body: object = None, **more: str) -> Any:
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return await client.generic(method, TASKS + path, headers=headers | more, **data)  # type: ignore[arg-type]

    async def changed(method: str, path: str, body: object = None, **more: str) -> Any:
        answer = await send(method, path, body, **more)
        async with asyncio.timeout(20):
            assert (await layer.receive(channel))["type"] == "tasks.changed"
        return answer

    key = {"Idempotency-Key": "k1"}
    path = "/" + (await changed("POST", "", {"title": "Buy milk"}, **key)).json()["task_id"]
    await send("POST", "", {"title": "Buy milk"}, **key)
    await send("PATCH", path, {"title": "Buy milk"})
    await changed("PATCH", path, {"title": "Buy bread"})
    await changed("POST", f"{path}/complete")
    await changed("DELETE", path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await layer.receive(channel)
    await sync_to_async(connections.close_all)()  # of the thread in which requests were answered


def test_each_change_of_a_task_can_be_undone_by_the_id_in_its_reply(program: Program) -> None:
    made = program.ask("POST", "", {"title": "Buy milk", "due": "2026-12-24"})
    task = made.json()
    path = f"/{task['task_id']}"
    assert "Task-Change" not in program.ask("PATCH", path, {"title": "Buy milk"})

    deleted = program.ask("DELETE", path)
    undone = program.ask("POST", f"/changes/{deleted['Task-Change']}/undo")
    assert undone.status_code == 200
    assert undone.json()["removed"] == []
    assert unstamped(undone.json()["tasks"][0]) == unstamped(task)
    assert unstamped(program.ask("GET", path).json()) == unstamped(task)

    completed = program.ask("POST", f"{path}/complete")
    again = program.ask("POST", f"/changes/{completed['Task-Change']}/undo").json()
    assert unstamped(again["tasks"][0]) == unstamped(task)

    gone = program.ask("POST", f"/changes/{made['Task-Change']}/undo").json()
    assert gone == {"tasks": [], "removed": [task["task_id"]]}


def unstamped(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name != "updated_at"}


def test_what_cannot_be_undone_is_refused_with_a_reason(program: Program, outsider: User) -> None:
    task = program.ask("POST", "", {"title": "Buy milk"}).json()
    completed = program.ask("POST", f"/{task['task_id']}/complete")
    undo = f"/changes/{completed['Task-Change']}/undo"
    assert Program(outsider, "tasks").ask("POST", undo).status_code == 404
    program.ask("PATCH", f"/{task['task_id']}", {"title": "Buy bread"})
    refused = program.ask("POST", undo)
    assert error_of(refused, 409) == "not_undoable"
    assert refused.json()["error"]["detail"].startswith("Task 1 (“Buy milk”) has changed since")


@pytest.mark.parametrize(
    ("title", "sentence"),
    [("", "It needs some text"), (" ", "It needs some text"), ("a" * 101, "It has at most 100 characters")],
)
def test_what_is_wrong_with_a_title_is_said_in_words_for_people(
    client: Client, owner: User, title: str, sentence: str
) -> None:
    answer = client.post("/api/tasks", {"title": title}, "application/json", headers=bearer(owner))
    assert error_of(answer, 422) == "invalid"
    assert answer.json()["error"]["fields"] == {"title": sentence}
