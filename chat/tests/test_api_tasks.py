"""The to-do list over the API: every field of its contract."""

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
from chat.tests.api import bearer, error_code

pytestmark = pytest.mark.django_db
TASKS = "/api/tasks"
TASK_FIELDS = {
    "task_id", "number", "title", "description", "due", "priority", "is_completed", "created_at", "updated_at",
    "completed_at",
}  # fmt: skip


class ApiClient:
    """A client of the API, with a token."""

    def __init__(self, user: User, *scopes: str) -> None:
        self.headers = bearer(user, *scopes)
        self.client = Client()

    def request(self, method: str, path: str = "", body: object = None) -> Any:
        """Send a request; a body is sent as JSON."""
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return self.client.generic(method, TASKS + path, headers=self.headers, **data)  # type: ignore[arg-type]


@pytest.fixture
def api(owner: User) -> ApiClient:
    return ApiClient(owner, "tasks")


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


def test_task_is_created_shown_changed_completed_and_deleted(api: ApiClient, owner: User) -> None:
    created = api.request("POST", "", {"title": " Buy  milk ", "due": "2026-12-24T18:00", "priority": "high"})
    assert created.status_code == 201
    task = created.json()
    assert set(task) == TASK_FIELDS
    assert (task["number"], task["title"], task["description"]) == (1, "Buy milk", "")
    assert (task["due"], task["priority"]) == ("2026-12-24T18:00", "high")
    assert (task["is_completed"], task["completed_at"]) == (False, None)
    stored = Task.objects.get()
    assert (task["task_id"], stored.user_id) == (str(stored.pk), owner.pk)
    assert datetime.fromisoformat(task["created_at"]) == stored.created_at

    path = f"/{task['task_id']}"
    assert api.request("GET", path).json() == task
    changed = api.request("PATCH", path, {"due": "2026-12-25", "description": "Oat"})
    assert changed.status_code == 200
    unchanged = TASK_FIELDS - {"due", "description", "updated_at"}
    assert {name: changed.json()[name] for name in unchanged} == {name: task[name] for name in unchanged}
    assert (changed.json()["due"], changed.json()["description"]) == ("2026-12-25", "Oat")
    for empty in (None, ""):
        assert api.request("PATCH", path, {"due": "2026-12-25"}).json()["due"] == "2026-12-25"
        assert api.request("PATCH", path, {"due": empty}).json()["due"] is None

    completed = api.request("POST", f"{path}/complete")
    assert (completed.status_code, completed.json()["is_completed"]) == (200, True)
    assert completed.json()["completed_at"] is not None
    assert error_code(api.request("POST", f"{path}/complete"), 409) == "already_completed"
    assert api.request("PATCH", path, {"is_completed": False}).json()["completed_at"] is None

    deleted = api.request("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert error_code(api.request("GET", path), 404) == "not_found"
    assert api.request("POST", "", {"title": "Another"}).json()["number"] == 2


def test_due_date_and_due_time_are_accepted_as_fields(api: ApiClient) -> None:
    created = api.request("POST", "", {"title": "Buy milk", "due_date": "2026-12-24", "due_time": "18:00"}).json()
    path = f"/{created['task_id']}"
    moved = api.request("PATCH", path, {"due_date": "2026-12-25"}).json()
    cleared = api.request("PATCH", path, {"due_date": None}).json()

    assert [task["due"] for task in (created, moved, cleared)] == ["2026-12-24T18:00", "2026-12-25", None]
    for body in ({"due": "2026-12-24", "due_date": "2026-12-25"}, {"due_time": "18:00"}):
        assert error_code(api.request("PATCH", path, body), 422) == "invalid"


def test_task_can_be_created_completed(api: ApiClient) -> None:
    created = api.request("POST", "", {"title": "Buy milk", "is_completed": True}).json()
    assert (created["is_completed"], created["completed_at"] is not None) == (True, True)


def test_unchanged_fields_make_no_change(api: ApiClient) -> None:
    task = api.request("POST", "", {"title": "Buy milk", "due": "2026-12-24T18:00", "priority": "low"}).json()
    stored = Task.objects.get()
    no_fields: dict[str, object] = {}
    for body in (task, no_fields):
        again = api.request("PATCH", f"/{task['task_id']}", body)
        assert again.json() == task
        assert "Task-Change" not in again
    assert Task.objects.get().revision == stored.revision


def test_task_list_is_filtered_and_paginated(api: ApiClient, owner: User) -> None:
    for n in range(1, 6):
        create_task(user_id=owner.pk, title=f"Task {n}")
    for number in (2, 4):
        complete_task(user_id=owner.pk, number=number)

    def numbers(query: str) -> list[int]:
        response = api.request("GET", query).json()
        assert set(response) == {"items", "has_more", "after"}
        assert all(set(item) == TASK_FIELDS for item in response["items"])
        found = [item["number"] for item in response["items"]]
        assert response["has_more"] == (response["after"] is not None)
        return found + (numbers(f"{query}&after={response['after']}") if response["has_more"] else [])

    assert numbers("") == [1, 2, 3, 4, 5]
    assert numbers("?status=pending") == [1, 3, 5]
    assert numbers("?status=completed&limit=1") == [2, 4]
    assert numbers("?limit=2&status=all") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("query", ["?status=done", "?limit=0", "?limit=101"])
def test_invalid_list_parameters_are_rejected(api: ApiClient, query: str) -> None:
    assert error_code(api.request("GET", query), 422) == "invalid"


@pytest.mark.parametrize("after", ["-", "Wy0xXQ", "WzFd" * 9, "WzQyOTQ5NjcyOTZd", "WyIxIl0"])
def test_invalid_cursor_is_rejected(api: ApiClient, after: str) -> None:
    assert error_code(api.request("GET", f"?after={after}"), 400) == "bad_cursor"


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
def test_invalid_fields_are_named_in_the_error(api: ApiClient, body: dict[str, object], field: str) -> None:
    response = api.request("POST", "", body)
    assert error_code(response, 422) == "invalid"
    assert [name.split(".")[0] for name in response.json()["error"]["fields"]] == [field]
    assert Task.objects.count() == 0


def test_every_operation_needs_a_token_with_the_scope(owner: User) -> None:
    task = create_task(user_id=owner.pk, title="Buy milk")
    api, anonymous = ApiClient(owner, "chat"), ApiClient(owner)
    anonymous.headers = {}
    for method, path, body in every_operation(task.pk):
        assert error_code(anonymous.request(method, path, body), 401) == "not_signed_in", (method, path)
        response = api.request(method, path, body)
        assert error_code(response, 403) == "forbidden", (method, path)
        assert "“tasks”" in response.json()["error"]["detail"]
    assert Task.objects.get().title == "Buy milk"


@pytest.mark.parametrize("who", ["outsider", "staff"])
def test_task_of_another_user_returns_the_same_404_as_no_task(
    owner: User, outsider: User, staff: User, who: str
) -> None:
    task = create_task(user_id=owner.pk, title="Buy milk")
    api = ApiClient({"outsider": outsider, "staff": staff}[who])
    existing, empty = every_operation(task.pk), every_operation(uuid.uuid4())
    for (method, path, body), (_, other, _) in zip(existing[2:], empty[2:], strict=True):
        response = api.request(method, path, body)
        assert error_code(response, 404) == "not_found", (method, path)
        assert response.json() == api.request(method, other, body).json()
    assert api.request("GET").json()["items"] == []
    assert (Task.objects.get().title, Task.objects.get().completed_at) == ("Buy milk", None)


@pytest.mark.django_db(transaction=True)
async def test_every_change_notifies_open_pages(owner: User) -> None:
    headers = await sync_to_async(bearer)(owner, "tasks")
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(user_group(owner.pk), channel)
    client = AsyncClient()

    async def send(method: str, path: str, body: object = None, **extra_headers: str) -> Any:
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return await client.generic(method, TASKS + path, headers=headers | extra_headers, **data)  # type: ignore[arg-type]

    async def changed(method: str, path: str, body: object = None, **extra_headers: str) -> Any:
        response = await send(method, path, body, **extra_headers)
        async with asyncio.timeout(20):
            assert (await layer.receive(channel))["type"] == "tasks.changed"
        return response

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
    await sync_to_async(connections.close_all)()  # of the thread that handled the requests


def test_change_is_undone_by_the_id_in_its_response(api: ApiClient) -> None:
    created = api.request("POST", "", {"title": "Buy milk", "due": "2026-12-24"})
    task = created.json()
    path = f"/{task['task_id']}"
    assert "Task-Change" not in api.request("PATCH", path, {"title": "Buy milk"})

    deleted = api.request("DELETE", path)
    undone = api.request("POST", f"/changes/{deleted['Task-Change']}/undo")
    assert undone.status_code == 200
    assert undone.json()["removed"] == []
    assert without_updated_at(undone.json()["tasks"][0]) == without_updated_at(task)
    assert without_updated_at(api.request("GET", path).json()) == without_updated_at(task)

    completed = api.request("POST", f"{path}/complete")
    again = api.request("POST", f"/changes/{completed['Task-Change']}/undo").json()
    assert without_updated_at(again["tasks"][0]) == without_updated_at(task)

    uncreated = api.request("POST", f"/changes/{created['Task-Change']}/undo").json()
    assert uncreated == {"tasks": [], "removed": [task["task_id"]]}


def without_updated_at(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name != "updated_at"}


def test_undo_after_a_later_change_is_rejected_with_a_reason(api: ApiClient, outsider: User) -> None:
    task = api.request("POST", "", {"title": "Buy milk"}).json()
    completed = api.request("POST", f"/{task['task_id']}/complete")
    undo = f"/changes/{completed['Task-Change']}/undo"
    assert ApiClient(outsider, "tasks").request("POST", undo).status_code == 404
    api.request("PATCH", f"/{task['task_id']}", {"title": "Buy bread"})
    rejected = api.request("POST", undo)
    assert error_code(rejected, 409) == "not_undoable"
    assert rejected.json()["error"]["detail"].startswith("Task 1 (“Buy milk”) has changed since")


@pytest.mark.parametrize(
    ("title", "sentence"),
    [("", "It needs some text"), (" ", "It needs some text"), ("a" * 101, "It has at most 100 characters")],
)
def test_invalid_title_gets_a_readable_error(client: Client, owner: User, title: str, sentence: str) -> None:
    response = client.post("/api/tasks", {"title": title}, "application/json", headers=bearer(owner))
    assert error_code(response, 422) == "invalid"
    assert response.json()["error"]["fields"] == {"title": sentence}
