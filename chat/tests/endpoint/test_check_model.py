"""`check_model` tests an endpoint and reports missing capabilities and the settings to use."""

import asyncio
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chat.tests.endpoint.conftest import KEY
from chat.tests.model_server import (
    Answer,
    Api,
    Call,
    HttpError,
    ModelServer,
    Reasoning,
    Request,
    Step,
    Text,
    text_reply,
)

NAMES = [
    "stream", "tool call", "two calls at once", "answer after a tool", "second turn", "Unicode", "usage",
    "long history", "error format", "reasoning",
]  # fmt: skip


async def capable(request: Request) -> Step:
    """Answer as a model that passes every check."""
    if request.model != "stub-1":
        return HttpError(404, "The model does not exist.", "model_not_found")
    if request.items[-1].get("type") == "function_call_output":
        return text_reply("It is on your list.")
    if "twice" in request.last_user_text:
        return Answer(parts=(Call("create_task", {"title": "Milk"}), Call("create_task", {"title": "Bread"})))
    if "Add a task" in request.last_user_text:
        reasoning = (Reasoning("gAAA"),) if request.api == "responses" else ()
        return Answer(parts=(*reasoning, Call("create_task", {"title": "Tea"})))
    if "Repeat" in request.last_user_text:
        return text_reply(request.last_user_text.partition(": ")[2])
    return text_reply("zebra, ", "of course")


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


async def test_fully_capable_endpoint_passes(configured: None, endpoint: ModelServer, api: Api) -> None:
    endpoint.rule = capable

    report, is_usable = await run()

    assert is_usable
    assert list(outcomes(report)) == NAMES
    lacking = {name for name, outcome in outcomes(report).items() if outcome != "ok"}
    assert lacking == (set() if api == "responses" else {"reasoning"}), report
    assert (report["api"], report["omit"], report["reasoning"]) == (api, [], "auto")
    assert max(len(request.items) for request in endpoint.requests) == 201


async def test_refused_parameter_is_reported_as_a_setting(configured: None, endpoint: ModelServer, api: Api) -> None:
    name = "include" if api == "responses" else "stream_options"

    async def rule(request: Request) -> Step:
        return HttpError(400, f"Unknown parameter: '{name}'.") if name in request.body else await capable(request)

    endpoint.rule = rule

    report, is_usable = await run()

    assert is_usable
    assert report["omit"] == [name]
    assert outcomes(report)["usage"] == ("ok" if api == "responses" else "missing")


async def test_model_without_tool_calls_is_not_usable(configured: None, endpoint: ModelServer) -> None:
    async def rule(request: Request) -> Step:
        return Answer(parts=(Text(("I would ", "add it.")),))

    endpoint.rule = rule

    report, is_usable = await run()

    assert not is_usable
    results = outcomes(report)
    assert (results["tool call"], results["answer after a tool"]) == ("failed", "failed")
    assert (results["two calls at once"], results["error format"], results["stream"]) == ("missing", "missing", "ok")


async def test_endpoint_that_denies_access_gets_one_request(configured: None, endpoint: ModelServer) -> None:
    async def rule(request: Request) -> Step:
        return HttpError(403, f"No access for {KEY}.")

    endpoint.rule = rule

    report, is_usable = await run()

    assert not is_usable
    assert list(outcomes(report).values()) == ["failed", *["skipped"] * 9]
    assert KEY not in json.dumps(report)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_other_api_is_tried_if_the_path_does_not_exist(configured: None, endpoint: ModelServer) -> None:
    async def rule(request: Request) -> Step:
        return HttpError(404, "404 page not found") if request.api == "responses" else await capable(request)

    endpoint.rule = rule

    report, is_usable = await run()

    assert is_usable
    assert report["api"] == "chat_completions"


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_other_api_is_tried_if_the_first_fails_a_check(configured: None, endpoint: ModelServer) -> None:
    async def rule(request: Request) -> Step:
        if request.api == "responses" and len(request.items) > 100:
            return HttpError(400, "Cannot determine type of 'item'")
        return await capable(request)

    endpoint.rule = rule

    report, is_usable = await run()

    assert is_usable
    assert report["api"] == "chat_completions"
    assert outcomes(report)["long history"] == "ok"


@pytest.mark.parametrize("arguments", ['{"title": "Te', '["Tea"]', ""])
async def test_tool_call_check_fails_if_arguments_are_not_an_object(
    configured: None, endpoint: ModelServer, arguments: str
) -> None:
    async def rule(request: Request) -> Step:
        add = "Add a task" in request.last_user_text and request.items[-1].get("role") == "user"
        return Answer(parts=(Call("create_task", arguments, "call_1"),)) if add else await capable(request)

    endpoint.rule = rule

    report, is_usable = await run()

    assert not is_usable
    assert outcomes(report)["tool call"] == "failed"


async def test_output_is_a_table_with_the_settings(configured: None, endpoint: ModelServer, api: Api) -> None:
    endpoint.rule = capable
    out = StringIO()

    await asyncio.to_thread(call_command, "check_model", stdout=out)

    lines = out.getvalue().splitlines()
    assert lines[0] == "stub-1: stub-1 at 127.0.0.1"
    assert lines[2] == f"By {api}:"
    assert [name for line, name in zip(lines[3:], NAMES, strict=False) if line.strip().startswith(name)] == NAMES
    assert f"  AGENT_API={api}" in lines


def test_command_fails_without_a_configured_endpoint() -> None:
    with pytest.raises(CommandError, match="No endpoint is configured"):
        call_command("check_model")


async def test_unknown_model_name_is_refused(configured: None) -> None:
    with pytest.raises(CommandError, match="The models are: stub-1"):
        await asyncio.to_thread(call_command, "check_model", "other")
