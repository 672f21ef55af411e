"""The to-do list over MCP with the official client: tool descriptions, results, errors, users and confirmations."""

import asyncio
import json

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent

from chat.infra.db_threads import in_database
from chat.models import Task, User
from chat.tasks import services as tasks
from chat.tests.api import bearer
from chat.tests.mcp_client import MODES, Person, key, mcp_client, running_service, tool_error, tool_result

READS = {"list_tasks", "get_task"}
DESTROYS = {"update_task", "delete_task", "delete_tasks"}
OUTSIDER_TITLE = "Secret"


__all__ = ["key", "running_service"]

pytestmark = pytest.mark.usefixtures("running_service")


async def fill(user: User, *titles: str) -> None:
    """Create tasks for a user."""
    for title in titles:
        await in_database(tasks.create_task, user_id=user.pk, title=title)


async def titles(user: User | None = None) -> list[str]:
    """Return the titles of a user's tasks, or of all tasks."""

    def read() -> list[str]:
        rows = Task.objects.all() if user is None else Task.objects.owned_by(user.pk)
        return list(rows.order_by("number").values_list("title", flat=True))

    return await in_database(read)


# Descriptions and results of the tools.


@pytest.mark.parametrize("mode", MODES)
async def test_every_tool_lists_its_schemas_and_hints(key: dict[str, str], mode: str) -> None:
    async with mcp_client(key, mode=mode) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}

    assert set(listed) == READS | DESTROYS | {"create_task", "complete_task"}
    for name, tool in listed.items():
        hints = tool.annotations
        assert hints is not None and tool.title and tool.description and tool.output_schema is not None
        assert hints.read_only_hint is (name in READS)
        assert hints.destructive_hint is (name in DESTROYS)
        assert hints.idempotent_hint is (name != "create_task")
        assert hints.open_world_hint is False
        assert tool.input_schema["type"] == tool.output_schema["type"] == "object"
        assert not {"user", "user_id", "email"} & set(tool.input_schema["properties"])
    title = listed["create_task"].input_schema["properties"]["title"]
    assert (title["minLength"], title["maxLength"]) == (1, 100)
    assert listed["list_tasks"].input_schema["properties"]["limit"]["anyOf"][0] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
    }


@pytest.mark.parametrize("mode", MODES)
async def test_every_tool_has_its_effect(key: dict[str, str], owner: User, mode: str) -> None:
    async with mcp_client(key, mode=mode) as client:
        created = await client.call_tool(
            "create_task", {"title": "Buy milk", "due_date": "2026-03-11", "priority": "high"}
        )
        assert isinstance(created.content[0], TextContent)
        assert json.loads(created.content[0].text) == tool_result(created)
        assert (tool_result(created)["task"]["number"], tool_result(created)["task"]["priority"]) == (1, "high")
        await client.call_tool("create_task", {"title": "Pay rent"})
        await client.call_tool("create_task", {"title": "Call Ada"})

        found = tool_result(await client.call_tool("list_tasks", {"limit": 2}))
        assert ([task["title"] for task in found["tasks"]], found["total"]) == (["Buy milk", "Pay rent"], 3)
        assert tool_result(await client.call_tool("get_task", {"number": 2}))["task"]["title"] == "Pay rent"
        assert tool_result(await client.call_tool("complete_task", {"number": 1}))["task"]["is_completed"]
        changed = tool_result(await client.call_tool("update_task", {"number": 2, "title": "Pay the rent"}))
        assert changed["task"]["title"] == "Pay the rent"
        assert tool_result(await client.call_tool("delete_task", {"number": 3}))["task"]["title"] == "Call Ada"
        pending = tool_result(await client.call_tool("delete_tasks", {"numbers": [1, 2, 9]}))
        assert (pending["deleted"], pending["missing"], len(await titles())) == (False, [9], 2)
        done = tool_result(
            await client.call_tool("delete_tasks", {"numbers": [1, 2, 9], "confirmation": pending["confirmation"]})
        )
        assert (done["deleted"], [task["title"] for task in done["tasks"]]) == (
            True,
            ["Buy milk", "Pay the rent"],
        )
    assert await titles() == []


async def test_due_is_accepted_by_its_api_name(key: dict[str, str]) -> None:
    async with mcp_client(key) as client:
        added = tool_result(await client.call_tool("create_task", {"title": "Buy milk", "due": "2026-12-24T18:00"}))[
            "task"
        ]
        moved = tool_result(await client.call_tool("update_task", {"number": 1, "due": "2026-12-25"}))["task"]
    assert (added["due_date"], added["due_time"], moved["due_date"]) == ("2026-12-24", "18:00", "2026-12-25")


# Errors.


REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("create_task", {"title": " "}, "A task needs a title."),
    ("create_task", {"title": "x", "due_date": "tomorrow"}, "“tomorrow” is not a date of the form YYYY-MM-DD."),
    ("create_task", {"title": "x", "due": "2026-12-24", "due_date": "2026-12-24"}, "Give “due”, or “due_date”"),
    ("create_task", {"title": "x\x00"}, "The text has a character that cannot be stored."),
    ("create_task", {}, "title: it is missing."),
    ("create_task", {"title": "x", "user_id": "somebody"}, "user_id: there is no such field."),
    ("get_task", {"number": "one"}, "number: it needs to be a whole number."),
    ("get_task", {"number": 10**30}, f"There is no task {10**30}."),
    ("complete_task", {"number": 1}, "Task 1 (“Buy milk”) is completed already."),
    ("get_task", {"number": 7}, "There is no task 7."),
    ("complete_task", {"number": 7}, "There is no task 7."),
    ("update_task", {"number": 7}, "There is no task 7."),
    ("delete_task", {"number": 7}, "There is no task 7."),
    ("delete_tasks", {"numbers": [7, 8]}, "There is no such task any more."),
    ("delete_tasks", {"numbers": []}, "numbers: it needs at least 1 entry."),
]


async def test_errors_have_the_messages_of_the_assistant_tools(key: dict[str, str], owner: User) -> None:
    await fill(owner, "Buy milk")
    await in_database(tasks.complete_task, user_id=owner.pk, number=1)
    async with mcp_client(key) as client:
        for name, arguments, message in REFUSED:
            assert tool_error(await client.call_tool(name, arguments)).startswith(message), (name, arguments)
        with pytest.raises(MCPError, match="There is no such tool"):
            await client.call_tool("drop_tables", {})
        assert tool_result(await client.call_tool("list_tasks", {"offset": 10**30, "limit": -1}))["total"] == 1
    assert await titles() == ["Buy milk"]


# The user of a call.


async def test_task_of_another_user_gets_the_error_of_a_missing_one(key: dict[str, str], outsider: User) -> None:
    await fill(outsider, OUTSIDER_TITLE, OUTSIDER_TITLE)
    theirs = str((await in_database(Task.objects.filter(number=2).get)).pk)
    async with mcp_client(key) as client:
        for name in ("get_task", "complete_task", "update_task", "delete_task"):
            more = {"title": "hacked"} if name == "update_task" else {}
            message = tool_error(await client.call_tool(name, {"number": 2, **more}))
            assert message == tool_error(await client.call_tool(name, {"number": 3, **more})).replace("3", "2")
            assert tool_error(await client.call_tool(name, {"number": theirs, **more})).startswith("number: ")
        assert tool_result(await client.call_tool("list_tasks", {}))["total"] == 0
        assert (
            tool_error(await client.call_tool("delete_tasks", {"numbers": [1, 2]})) == "There is no such task any more."
        )
    assert await titles() == [OUTSIDER_TITLE, OUTSIDER_TITLE]


@pytest.mark.parametrize("mode", MODES)
async def test_fifty_concurrent_calls_each_act_for_their_own_user(
    key: dict[str, str], owner: User, outsider: User, mode: str
) -> None:
    others = await in_database(bearer, outsider, "tasks")
    async with mcp_client(key, mode=mode) as mine, mcp_client(others, mode=mode) as theirs, asyncio.timeout(60):
        results = await asyncio.gather(
            *(
                client.call_tool("create_task", {"title": f"{name} {n}"})
                for n in range(25)
                for name, client in (("mine", mine), ("theirs", theirs))
            )
        )
    assert sorted(tool_result(result)["task"]["number"] for result in results) == sorted([*range(1, 26)] * 2)
    for name, user in (("mine", owner), ("theirs", outsider)):
        assert set(await titles(user)) == {f"{name} {n}" for n in range(25)}


# Confirmation of a bulk deletion.


@pytest.mark.parametrize(("action", "left"), [("accept", ["Call Ada"]), ("decline", None), ("cancel", None)])
async def test_elicitation_decides_about_a_bulk_deletion(
    key: dict[str, str], owner: User, action: str, left: list[str] | None
) -> None:
    before = ["Buy milk", "Pay rent", "Call Ada"]
    await fill(owner, *before)
    person = Person(action)
    async with mcp_client(key, person=person) as client:
        result = await client.call_tool("delete_tasks", {"numbers": [1, 2]})

    assert person.questions == ["Delete these 2 tasks?\n- 1: Buy milk\n- 2: Pay rent"]
    assert await titles() == (before if left is None else left)
    if left is None:
        assert tool_error(result) == "The person said no: this was not done."
    else:
        assert tool_result(result)["deleted"] is True


async def test_long_confirmation_counts_the_further_tasks(key: dict[str, str], owner: User) -> None:
    await fill(owner, *(f"Task {n}" for n in range(1, 24)))
    person = Person("decline")
    async with mcp_client(key, person=person) as client:
        await client.call_tool("delete_tasks", {"numbers": list(range(1, 24))})

    assert person.questions[0].splitlines()[0] == "Delete these 23 tasks?"
    assert person.questions[0].splitlines()[-1] == "- and 3 more"


async def test_legacy_client_gets_a_confirmation_token(key: dict[str, str], owner: User) -> None:
    await fill(owner, "Buy milk", "Pay rent")
    person = Person("accept")
    async with mcp_client(key, mode="legacy", person=person) as client:
        pending = tool_result(await client.call_tool("delete_tasks", {"numbers": [1, 2]}))

    assert (pending["deleted"], person.questions, len(await titles())) == (False, [], 2)


async def test_confirmation_of_other_tasks_is_refused(key: dict[str, str], owner: User) -> None:
    await fill(owner, "Buy milk", "Pay rent", "Call Ada")
    async with mcp_client(key) as client:
        pending = tool_result(await client.call_tool("delete_tasks", {"numbers": [1, 2]}))
        for numbers, confirmation in (([1, 3], pending["confirmation"]), ([1, 2], "yes")):
            error = tool_error(
                await client.call_tool("delete_tasks", {"numbers": numbers, "confirmation": confirmation})
            )
            assert "Nothing was deleted" in error
    assert len(await titles()) == 3
