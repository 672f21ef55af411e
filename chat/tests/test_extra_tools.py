"""Extra tools of the operator act for the turn's user, are journaled and approved, and never run twice."""

import json
import logging
import uuid
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from django.core.checks import run_checks
from pytest_django import Settings

from chat.assistant.extra import load
from chat.exceptions import BadExtraTools
from chat.infra.db_threads import in_database
from chat.models import Task, ToolCall, Turn, User
from chat.models.turn import Status
from chat.tests.conftest import Chat, StartRunner
from chat.tests.custom_tools import Observed, observed
from chat.tests.test_replay import abandon
from chat.turns.events import ToolFinished, ToolStarted, TurnFinished, TurnStopped
from chat.turns.journal import CUT_OFF
from config.checks import TAG
from config.logging import SafeFormatter
from config.tests.support import run

HERE = "chat.tests.custom_tools"


@pytest.fixture(autouse=True)
def own_tools(settings: Settings) -> Iterator[None]:
    """Configure the tools of `custom_tools`, with fresh records of their calls."""
    settings.AGENT_EXTRA_TOOLS = f"{HERE}.TOOLS"
    fresh = Observed()
    for field in fields(Observed):
        setattr(observed, field.name, getattr(fresh, field.name))
    yield


def outputs(script: ScriptedModel) -> list[str]:
    """Return the tool outputs in the model's last input."""
    call = script.last_call
    assert call is not None
    return [str(item["output"]) for item in call.input if item.get("type") == "function_call_output"]


async def output_of(chat: Chat, script: ScriptedModel, name: str, **arguments: object) -> str:
    """Let the model call a tool, and return the output that it is given."""
    script.extend([[function_call(name, dict(arguments), call_id="call_1")], [assistant_message("Done.")]])
    assert isinstance(await chat.run_turn("please"), TurnFinished)
    return outputs(script)[-1]


# Values of the setting.


@pytest.mark.parametrize("path", [f"{HERE}.TOOLS", f"{HERE}.Polite", "docs.examples.timesheet"])
def test_setting_accepts_a_list_an_object_or_a_module(path: str) -> None:
    assert load(path).tools


def test_empty_setting_loads_no_tools() -> None:
    assert (list(load("").tools), load("").instructions) == ([], "")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere", "it cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("nowhere.tools", "it cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        (f"{HERE}.NOTHING", f"it cannot be imported: AttributeError: module '{HERE}' has no attribute 'NOTHING'"),
        (f"{HERE}.NO_LIST", "it is an object of the type dict without a list of `tools`"),
        (f"{HERE}.note", "it is an object of the type function without a list of `tools`"),
        (f"{HERE}.NOT_ALL_TOOLS", "an object of the type str is no tool"),
        (f"{HERE}.CLASHING", "there are two tools of the name “create_task”"),
        (f"{HERE}.TWICE", "there are two tools of the name “note”"),
        (f"{HERE}.BADLY_NAMED", "“spaced out” is no name for a tool: up to 64 letters, digits, “_” and “-”"),
        (f"{HERE}.NAMELESS", "Nameless lacks a `name` or its method `act`"),
        (f"{HERE}.IDLE", "Idle lacks a `name` or its method `act`"),
        (f"{HERE}.ASYNC", "Async.act is no plain method; it acts in a transaction, so it cannot be async"),
        (
            f"{HERE}.EAGER",
            "Eager.act(self, user_id: uuid.UUID, more: str)",
        ),
        (f"{HERE}.PLAIN", "Plain.act returns dict, not an Effect"),
        (f"{HERE}.GENERATOR", "count is a generator; return the output at once"),
        (f"{HERE}.Talkative", "its `instructions` are no text"),
    ],
)
def test_invalid_setting_is_reported(path: str, reason: str, settings: Settings) -> None:
    with pytest.raises(BadExtraTools) as refused:
        load(path)

    assert refused.value.detail.startswith(f"AGENT_EXTRA_TOOLS='{path}' cannot be used: {reason}")
    assert ". It must be the dotted" in refused.value.detail
    settings.AGENT_EXTRA_TOOLS = path
    settings.OPENAI_API_KEY = "set"
    assert [(error.id, error.msg) for error in run_checks(tags=[TAG])] == [("threadkeeper.E009", refused.value.detail)]


def test_missing_import_of_the_module_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_more.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "package_of_tools").mkdir()
    (tmp_path / "package_of_tools" / "inner.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    for path in ("needs_more", "needs_more.TOOLS", "package_of_tools.inner"):
        with pytest.raises(BadExtraTools, match="No module named 'nothing_of_this_name'"):
            load(path)


def test_string_annotations_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tools_of_texts.py").write_text(
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "from chat.assistant.tools import TaskTool\n"
        "if TYPE_CHECKING:\n    import uuid\n    from chat.assistant.context import Effect\n"
        "class Shrug(TaskTool):\n"
        "    name = 'shrug'\n"
        "    def act(self, user_id: uuid.UUID) -> Effect:\n        raise NotImplementedError\n"
        "TOOLS = [Shrug]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert [tool.name for tool in load("tools_of_texts.TOOLS").tools] == ["shrug"]


@pytest.mark.service
def test_server_does_not_start_with_an_invalid_setting(tmp_path: Path) -> None:
    url = "postgres://127.0.0.1:1/x"  # never reached
    words = ("-m", "config.runtime.asgi_server", "--port", "0")
    process = run(*words, AGENT_EXTRA_TOOLS="nowhere.tools", DATA_DIR=str(tmp_path), DATABASE_URL=url)

    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith("AGENT_EXTRA_TOOLS='nowhere.tools' cannot be used: ")
    assert "Traceback" not in process.stderr


def test_check_warns_that_the_offline_model_uses_no_extra_tools() -> None:
    assert [found.id for found in run_checks(tags=[TAG])] == ["threadkeeper.W003"]


# Input of the model.


async def test_model_is_given_tools_and_instructions(chat: Chat, script: ScriptedModel, settings: Settings) -> None:
    settings.AGENT_EXTRA_TOOLS = f"{HERE}.Polite"
    script.enqueue([assistant_message("Hi.")])

    await chat.reply("hi")

    call = script.last_call
    assert call is not None
    assert call.system_instructions is not None
    assert "- note: Note a text.\nNote what {people} say.\nAt once.\n" in str(call.system_instructions)
    assert [tool.name for tool in call.tools][-2:] == ["search_conversation", "note"]


async def test_offline_model_continues_a_conversation_with_extra_tool_calls(
    chat: Chat, script: ScriptedModel, start_runner: StartRunner
) -> None:
    await output_of(chat, script, "note", text="the moon")
    await chat.runner.drain(5)
    offline = Chat(await start_runner(), chat.user, chat.conversation_id)

    assert "Buy milk" in await offline.reply("Add a task to buy milk")
    assert "please" in await offline.reply("What was the first thing I asked?")
    assert observed.done == [(chat.user.pk, "the moon")]


# The user of a call, and its output.


async def test_function_tool_acts_for_the_user_of_the_turn(chat: Chat, script: ScriptedModel, outsider: User) -> None:
    output = await output_of(chat, script, "note", text="mine")
    theirs = Chat(chat.runner, outsider, uuid.uuid4())
    await output_of(theirs, script, "note", text="theirs")

    assert observed.done == [(chat.user.pk, "mine"), (outsider.pk, "theirs")]
    assert json.loads(output)["noted"] == "mine"
    assert [call.output for call in await in_database(lambda: list(ToolCall.objects.all()))][0] == output


async def test_user_id_in_the_arguments_does_not_change_the_user(
    chat: Chat, script: ScriptedModel, outsider: User
) -> None:
    await output_of(chat, script, "note", text="mine", user_id=str(outsider.pk))

    assert {user_id for user_id, _ in observed.done} <= {chat.user.pk}


async def test_tool_output_is_stored_as_the_model_receives_it(chat: Chat, script: ScriptedModel) -> None:
    observed.proceed.set()

    output = await output_of(chat, script, "wait", text="rain")

    assert output == "waited \ufffd for rain"
    assert (await in_database(ToolCall.objects.get)).output == output


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [("fail", {"text": "between us"}, "The tool failed."), ("hang", {}, "timed out after 0.01 seconds")],
)
async def test_failed_tool_is_reported_to_the_model_and_the_turn_finishes(
    chat: Chat,
    script: ScriptedModel,
    caplog: pytest.LogCaptureFixture,
    name: str,
    arguments: dict[str, str],
    error: str,
) -> None:
    with caplog.at_level(logging.WARNING):
        output = await output_of(chat, script, name, **arguments)

    assert error in output
    assert (await in_database(ToolCall.objects.get)).output == output
    assert "between us" not in output + caplog.text


@pytest.mark.parametrize(("name", "lines"), [("broken", ("custom_tools.py", "KeyError")), ("wrong", ("TypeError",))])
async def test_exception_in_a_tool_is_rolled_back_and_logged(
    chat: Chat, script: ScriptedModel, caplog: pytest.LogCaptureFixture, name: str, lines: tuple[str, ...]
) -> None:
    output = json.loads(await output_of(chat, script, name))

    assert (output["error"], output["detail"]) == ("tool_error", "The tool failed.")
    assert await in_database(Task.objects.count) == 0
    logged = next(record for record in caplog.records if record.levelname == "ERROR")
    assert logged.getMessage() == f"The tool {name} failed."
    text = SafeFormatter().format(logged)
    assert [line for line in lines if line not in text] == []
    assert "between us" not in text


async def test_tool_with_a_too_long_transaction_is_rolled_back_and_reported(chat: Chat, script: ScriptedModel) -> None:
    output = json.loads(await output_of(chat, script, "dawdle"))

    assert (output["error"], output["detail"]) == ("too_slow", "This took longer than 10 seconds and was undone.")
    assert await in_database(Task.objects.count) == 0


# No call runs twice.


async def start_waiting(chat: Chat, script: ScriptedModel) -> Turn:
    """Let the model call a tool, and return when the call has started; it does not end."""
    script.enqueue([function_call("wait", {"text": "rain"}, call_id="call_1")])
    turn = (await chat.send("please")).turn
    await observed.started.wait()
    return turn


async def test_running_tool_call_is_stored_as_cut_off_until_it_ends(chat: Chat, script: ScriptedModel) -> None:
    turn = await start_waiting(chat, script)
    call = await in_database(ToolCall.objects.get)
    assert (call.output, call.error) == (None, CUT_OFF)

    script.enqueue([assistant_message("Done.")])
    observed.proceed.set()
    log = await chat.follow_to_end(turn)

    call = await in_database(ToolCall.objects.get)
    assert (call.output, call.error) == ("waited \ufffd for rain", None)
    kinds = [type(entry.event) for entry in log if isinstance(entry.event, ToolStarted | ToolFinished)]
    assert kinds == [ToolStarted, ToolFinished]


async def test_interrupted_tool_call_is_not_started_again(
    chat: Chat, script: ScriptedModel, start_runner: StartRunner
) -> None:
    turn = await start_waiting(chat, script)
    await abandon(chat.runner)
    observed.started.clear()

    second = ScriptedModel([[assistant_message("I do not know whether I waited.")]])
    chat.runner = await start_runner(second)
    assert isinstance((await chat.follow_to_end(turn))[-1].event, TurnFinished)
    await chat.wait_until_idle()

    assert outputs(second) == [CUT_OFF]
    assert not observed.started.is_set()
    assert observed.done == []


async def test_stop_cancels_a_running_tool_call_and_the_next_turn_sees_it(chat: Chat, script: ScriptedModel) -> None:
    turn = await start_waiting(chat, script)

    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=turn.pk)
    log = [entry.event for entry in await chat.follow_to_end(turn)]

    assert isinstance(log[-1], TurnStopped)
    assert ToolFinished("call_1", error=CUT_OFF) in log
    assert observed.was_cancelled
    assert (await in_database(Turn.objects.get)).status == Status.STOPPED
    script.enqueue([assistant_message("As you wish.")])
    await chat.reply("and now?")
    assert outputs(script) == [CUT_OFF]


async def test_edited_message_is_answered_with_knowledge_of_the_cut_off_call(chat: Chat, script: ScriptedModel) -> None:
    turn = await start_waiting(chat, script)
    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=turn.pk)
    message = (await in_database(Turn.objects.select_related("prompt").get)).prompt
    await chat.wait_until_idle()

    script.enqueue([assistant_message("As you wish.")])
    edited = await chat.edit(message.pk, "something else")
    await chat.follow_to_end(edited.turn)

    call = script.last_call
    assert call is not None
    assert f'- wait {{"text": "rain"}} -> {CUT_OFF}' in str(call.system_instructions)


# Approvals.


@pytest.mark.parametrize("approve", [True, False])
@pytest.mark.parametrize(("name", "text"), [("send", "hi"), ("whisper", "damn")])
async def test_tool_that_needs_approval_runs_once_after_approval(
    chat: Chat, script: ScriptedModel, name: str, text: str, approve: bool
) -> None:
    script.enqueue([function_call(name, {"text": text}, call_id="call_1")])
    accepted, event = await chat.request_approval("please")
    assert (event.name, event.arguments, observed.done) == (name, {"text": text}, [])

    script.enqueue([assistant_message("Well.")])
    await chat.decide(accepted.turn, "call_1", approve)
    assert isinstance((await chat.follow_to_end(accepted.turn))[-1].event, TurnFinished)

    assert observed.done == ([(chat.user.pk, text)] if approve else [])
    assert ("declined" in outputs(script)[0]) is not approve


async def test_tool_runs_without_approval_where_its_own_rule_allows_it(chat: Chat, script: ScriptedModel) -> None:
    assert await output_of(chat, script, "whisper", text="hello") == "whispered"


async def test_failing_approval_rule_requests_an_approval(chat: Chat, script: ScriptedModel) -> None:
    script.enqueue([function_call("whisper", {}, call_id="call_1")])

    _, event = await chat.request_approval("please")

    assert event.name == "whisper"
