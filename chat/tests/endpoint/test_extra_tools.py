"""The example of extra tools (docs/examples/timesheet.py), called by a model behind an endpoint."""

import asyncio
import json
import signal
import uuid
from datetime import date
from pathlib import Path

import pytest
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.models import Task, ToolCall, User
from chat.tasks import services as tasks
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of
from chat.tests.live import open_socket, sign_in
from chat.tests.model_server import Call, ModelServer, Request, Step, text_reply, tool_calls
from chat.turns.events import TurnFinished
from chat.turns.journal import CUT_OFF
from config.tests.support import LiveDatabase, ServerProcess
from docs.examples import timesheet

EXAMPLE = "docs.examples.timesheet"
NOTE = Call("note_time", {"what": "mowing the lawn", "minutes": 30}, "call_note")
DUE = date(2026, 3, 11)


@pytest.fixture(autouse=True)
def example(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Configure the example, with its timesheets in a temporary folder."""
    settings.AGENT_EXTRA_TOOLS = EXAMPLE
    monkeypatch.setattr(timesheet, "FOLDER", tmp_path)


def lines(folder: Path, user_id: object) -> list[str]:
    """Return the lines of a user's timesheet."""
    return (folder / f"{user_id}.csv").read_text().splitlines()


async def test_tool_call_writes_the_current_users_timesheet(
    online: Chat, endpoint: ModelServer, tmp_path: Path
) -> None:
    endpoint.play(tool_calls(NOTE), text_reply("Noted."))

    assert reply_of(await events_of(online, "mowing took half an hour")) == "Noted."

    assert "note_time" in endpoint.requests[0].tool_names
    assert timesheet.instructions in endpoint.requests[0].instructions
    assert endpoint.requests[1].outputs == {"call_note": "Noted: 30 minutes for mowing the lawn."}
    (line,) = lines(tmp_path, online.user.pk)
    assert line.endswith(",30,mowing the lawn")


async def test_extra_tool_requires_approval_and_stores_the_previous_tasks(online: Chat, endpoint: ModelServer) -> None:
    def create_tasks() -> None:
        for title in ("Pay rent", "Call Ada"):
            tasks.create_task(user_id=online.user.pk, title=title, due_date=DUE)

    await in_database(create_tasks)
    endpoint.play(tool_calls(Call("postpone_tasks", {"numbers": [1, 2], "days": 7}, "call_1")))
    accepted, event = await online.request_approval("a week later, please")
    assert event.arguments == {"numbers": [1, 2], "days": 7}

    endpoint.play(text_reply("A week later."))
    await online.decide(accepted.turn, event.call_id, True)
    assert isinstance((await online.follow_to_end(accepted.turn))[-1].event, TurnFinished)

    assert await in_database(lambda: set(Task.objects.values_list("due_date", flat=True))) == {date(2026, 3, 18)}
    before = (await in_database(ToolCall.objects.get)).before
    assert before is not None
    assert [task["due"] for task in before["tasks"]] == ["2026-03-11", "2026-03-11"]


async def test_tasks_of_another_user_are_out_of_reach(online: Chat, endpoint: ModelServer, outsider: User) -> None:
    await in_database(lambda: tasks.create_task(user_id=outsider.pk, title="Secret", due_date=DUE))
    endpoint.play(tool_calls(Call("postpone_tasks", {"numbers": [1], "days": 7}, "call_1")))
    accepted, event = await online.request_approval("a week later, please")

    endpoint.play(text_reply("There is none."))
    await online.decide(accepted.turn, event.call_id, True)
    await online.follow_to_end(accepted.turn)

    assert json.loads(endpoint.requests[1].outputs["call_1"])["detail"] == "There is no task 1."
    assert (await in_database(Task.objects.get)).due_date == DUE


async def test_guardrail_request_describes_the_extra_tools(
    online: Chat, endpoint: ModelServer, settings: Settings
) -> None:
    settings.AGENT_GUARDRAIL = True

    async def rule(request: Request) -> Step:
        return text_reply("Yes.") if "yes or no" in request.instructions else text_reply("Noted.")

    endpoint.rule = rule

    assert reply_of(await events_of(online, "What is the capital of France?")) == "Noted."
    assert "- note_time: Note in the person's timesheet how long something took." in endpoint.requests[0].instructions


@pytest.mark.long
@pytest.mark.service
async def test_kill_before_the_tool_output_is_journaled_does_not_repeat_the_call(
    live_database: LiveDatabase, tmp_path: Path
) -> None:
    async def rule(request: Request) -> Step:
        return text_reply("Is it there?") if request.outputs else tool_calls(NOTE)

    async with ModelServer(rule=rule) as model:
        configured = {
            "OPENAI_BASE_URL": model.url,
            "AGENT_GUARDRAIL": "off",
            "AGENT_EXTRA_TOOLS": EXAMPLE,
            "TIMESHEETS": str(tmp_path / "sheets"),
        }
        (tmp_path / "kill_point").write_text("before a tool output is journaled")
        kill_point = {"program": "chat.tests.kill_point_server", "KILL_POINT_FILE": str(tmp_path / "kill_point")}
        server = ServerProcess(live_database, tmp_path, **kill_point, **configured)
        try:
            person = await asyncio.to_thread(sign_in, server)
            conversation_id = uuid.uuid4()
            async with open_socket(server, person, conversation_id) as socket:
                await socket.message("mowing took half an hour")
                async with asyncio.timeout(60):
                    while server.process.poll() is None:
                        await asyncio.sleep(0.01)
            assert server.process.wait() == -signal.SIGKILL, server.output
            assert len(lines(tmp_path / "sheets", person.id)) == 1

            await asyncio.to_thread(server.restart)
            ((turn_id,),) = live_database.query("SELECT id FROM chat_turn")
            async with open_socket(server, person, conversation_id) as socket:
                await socket.send("log.follow", turn_id=turn_id, attempt=0, after=0)
                last_frame = await socket.end_of(str(turn_id), within=60)
        finally:
            server.kill9()

    assert (last_frame["message"]["text"], model.problems) == ("Is it there?", [])
    assert model.requests[-1].outputs == {"call_note": CUT_OFF}
    assert len(lines(tmp_path / "sheets", person.id)) == 1
