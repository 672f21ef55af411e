"""`check_model` asks a real endpoint, and names what it lacks and the settings to use."""

import asyncio
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chat.tests.endpoint.conftest import KEY
from chat.tests.model_server import Answer, Api, Call, HttpError, ModelServer, Reasoning, Request, Step, Text, says

NAMES = [
    "stream", "tool call", "two calls at once", "answer after a tool", "second turn", "Unicode", "usage",
    "long history", "error format", "reasoning",
]  # fmt: skip


async def able(request: Request) -> Step:
    """Answer as a model does that can do everything."""
    if request.model != "stub-1":
        return HttpError(404, "The model does not exist.", "model_not_found")
    if request.items[-1].get("type") == "function_call_output":
        return says("It is on your list.")
    if "twice" in request.said:
        return Answer(parts=(Call("create_task", {"title": "Milk"}), Call("create_task", {"title": "Bread"})))
    if "Add a task" in request.said:
        thought = (Reasoning("gAAA"),) if request.api == "responses" else ()
        return Answer(parts=(*thought, Call("create_task", {"title": "Tea"})))
    if "Repeat" in request.said:
        return says(request.said.partition(": ")[2])
    return says("zebra, ", "of course")


async def run(*arguments: str) -> tuple[dict[str, Any], bool]:
    """Return the command's report, and whether its exit code is 0."""
    out = StringIO()
    try:
        await asyncio.to_thread(call_command, "check_model", *arguments, "--json", stdout=out)
    except CommandError:
        return json.loads(out.getvalue()), False
    return json.loads(out.getvalue()), True


def outcomes(report: dict[str, Any]) -> dict[str, str]:
    return {point["name"]: point["outcome"] for point in report["points"]}


async def test_an_endpoint_that_can_do_everything_passes(configured: None, endpoint: ModelServer, api: Api) -> None:
    endpoint.rule = able

    report, is_usable = await run()

    assert is_usable
    assert list(outcomes(report)) == NAMES
    lacking = {name for name, outcome in outcomes(report).items() if outcome != "ok"}
    assert lacking == (set() if api == "responses" else {"reasoning"}), report
    assert (report["api"], report["omit"], report["reasoning"]) == (api, [], "auto")
    assert max(len(request.items) for request in endpoint.requests) == 201


async def test_what_it_refuses_becomes_a_setting(configured: None, endpoint: ModelServer, api: Api) -> None:
    name = "include" if api == "responses" else "stream_options"

    async def rule(request: Request) -> Step:
        return HttpError(400, f"Unknown parameter: '{name}'.") if name in request.body else await able(request)

    endpoint.rule = rule

    report, is_usable = await run()

    assert is_usable
    assert report["omit"] == [name]
    assert outcomes(report)["usage"] == ("ok" if api == "responses" else "missing")


async def test_a_model_that_calls_no_tools_is_not_usable(configured: None, endpoint: ModelServer) -> None:
    async def rule(request: Request) -> Step:
        return Answer(parts=(Text(("I would ", "add it.")),))

    endpoint.rule = rule

    report, is_usable = await run()

    assert not is_usable
    found = outcomes(report)
    assert (found["tool call"], found["answer after a tool"]) == ("failed", "failed")
    assert (found["two calls at once"], found["error format"], found["stream"]) == ("missing", "missing", "ok")


async def test_an_endpoint_that_does_not_answer_is_asked_once(configured: None, endpoint: ModelServer) -> None:
    async def rule(request: Request) -> Step:
        return HttpError(403, f"No access for {KEY}.")

    endpoint.rule = rule

    report, is_usable = await run()

    assert not is_usable
    assert list(outcomes(report).values()) == ["failed", *["skipped"] * 9]
    assert KEY not in json.dumps(report)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_the_other_api_is_tried_where_there_is_no_such_path(configured: None, endpoint: ModelServer) -> None:
    async def rule(request: Request) -> Step:
        return HttpError(404, "404 page not found") if request.api == "responses" else await able(request)

    endpoint.rule = rule

    report, is_usable = await run()

    assert is_usable
    assert report["api"] == "chat_completions"


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_the_other_api_is_tried_where_one_lacks_something(configured: None, endpoint: ModelServer) -> None:
    async def rule(request: Request) -> Step:
        if request.api == "responses" and len(request.items) > 100:
            return HttpError(400, "Cannot determine type of 'item'")
        return await able(request)

    endpoint.rule = rule

    report, is_usable = await run()

    assert is_usable
    assert report["api"] == "chat_completions"
    assert outcomes(report)["long history"] == "ok"


@pytest.mark.parametrize("arguments", ['{"title": "Te', '["Tea"]', ""])
async def test_arguments_that_are_no_object_are_no_tool_call(
    configured: None, endpoint: ModelServer, arguments: str
) -> None:
    async def rule(request: Request) -> Step:
        add = "Add a task" in request.said and request.items[-1].get("role") == "user"
        return Answer(parts=(Call("create_task", arguments, "call_1"),)) if add else await able(request)

    endpoint.rule = rule

    report, is_usable = await run()

    assert not is_usable
    assert outcomes(report)["tool call"] == "failed"


async def test_it_prints_a_table_with_the_settings(configured: None, endpoint: ModelServer, api: Api) -> None:
    endpoint.rule = able
    out = StringIO()

    await asyncio.to_thread(call_command, "check_model", stdout=out)

    lines = out.getvalue().splitlines()
    assert lines[0] == "stub-1: stub-1 at 127.0.0.1"
    assert lines[2] == f"By {api}:"
    assert [name for line, name in zip(lines[3:], NAMES, strict=False) if line.strip().startswith(name)] == NAMES
    assert f"  AGENT_API={api}" in lines


def test_without_an_endpoint_there_is_nothing_to_check() -> None:
    with pytest.raises(CommandError, match="No endpoint is configured"):
        call_command("check_model")


async def test_a_name_that_is_not_configured_is_refused(configured: None) -> None:
    with pytest.raises(CommandError, match="The models are: stub-1"):
        await asyncio.to_thread(call_command, "check_model", "other")
