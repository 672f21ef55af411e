"""Turns are traced with OpenTelemetry if a collector is configured."""

import json
import uuid
from pathlib import Path

import pytest

from chat.tests.live import open_socket, sign_in
from chat.tests.model_server import Call, HttpError, ModelServer, text_reply, tool_calls
from config.tests.collector import Collector, tree
from config.tests.support import LiveDatabase, ServerProcess, eventually, free_port

pytestmark = pytest.mark.service
TITLES = ("plantedmilk", "plantedbread")


async def test_attempts_of_a_turn_share_one_trace(live_database: LiveDatabase, tmp_path: Path) -> None:
    conversation = uuid.uuid4()
    async with ModelServer() as endpoint:
        endpoint.play(
            HttpError(503, "plantedfault"),
            tool_calls(
                *(Call("create_task", {"title": title}) for title in TITLES),
                Call("complete_task", {"number": 99}),
                Call("plantedtool", {"text": "plantedtext"}),
            ),
            tool_calls(Call("delete_tasks", {"numbers": [1, 2]})),
            text_reply("plantedreply"),
        )
        variables = {
            "OPENAI_BASE_URL": endpoint.url,
            "OPENAI_API_KEY": "plantedkey",
            "AGENT_GUARDRAIL": "off",
            "LOG_FORMAT": "json",
        }
        with (
            Collector() as collector,
            ServerProcess(
                live_database, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=f"{collector.url}/", **variables
            ) as server,
        ):
            person = sign_in(server, "planted")
            async with open_socket(server, person, conversation) as socket:
                accepted = await socket.accepted(
                    await socket.message("Add plantedmilk and plantedbread, and delete both")
                )
                turn_id = str(accepted["turn"]["id"])
                approval = await socket.until(lambda frame: frame["type"] == "approval.requested")
            server.restart()
            async with open_socket(server, person, conversation) as socket:
                await socket.send("approval.decide", turn_id=turn_id, call_id=approval["call_id"], approve=True)
                await socket.end_of(turn_id)
            assert server.terminate() == 0  # this sends the remaining spans
            spans = sorted(collector.spans, key=lambda span: span.started)
            [retried] = [entry for entry in map(json.loads, server.output.splitlines()) if "again" in entry["message"]]

    request = "chat gpt-5-mini"
    first, second = (span for span in spans if not span.parent_id)
    assert tree(spans) == [
        (
            "invoke_agent Threadkeeper",
            [
                "session.open",
                request,
                "execute_tool create_task",
                "execute_tool create_task",
                "execute_tool complete_task",
                request,
            ],
        ),
        ("invoke_agent Threadkeeper", ["session.open", "execute_tool delete_tasks", request]),
    ]
    assert {span.trace_id for span in spans} == {first.trace_id} == {retried["trace_id"]}
    assert (first.links, second.links) == ([], [first.id])
    assert first.attributes.pop("threadkeeper.turn.queue_seconds") < 5
    assert first.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "Threadkeeper",
        "gen_ai.conversation.id": str(conversation),
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 20,
        "threadkeeper.turn.id": turn_id,
        "threadkeeper.turn.attempt": 1,
        "threadkeeper.turn.status": "waiting",
    }
    [event] = first.events
    assert event.name == "approval.requested"
    assert event.attributes == {"gen_ai.tool.name": "delete_tasks", "gen_ai.tool.call.id": approval["call_id"]}
    assert second.attributes["threadkeeper.turn.status"] == "done"
    model_request, created, _, completed, _, deleted, _ = (
        span for span in spans if span.name.startswith(("chat", "execute"))
    )
    assert 0 < model_request.attributes.pop("gen_ai.response.time_to_first_chunk") < 10
    assert model_request.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.response.model": "gpt-5-mini",
        "gen_ai.response.finish_reasons": ["tool_call"],
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "server.address": "127.0.0.1",
        "server.port": int(endpoint.url.split(":")[2].split("/")[0]),
        "threadkeeper.model": "gpt-5-mini",
        "threadkeeper.request.purpose": "reply",
    }
    assert [event.name for event in model_request.events] == ["retry"]
    assert model_request.events[0].attributes["error.type"] == "503"
    assert created.attributes["gen_ai.tool.name"] == "create_task"
    assert "threadkeeper.tool.approval" not in created.attributes
    assert deleted.attributes["gen_ai.tool.call.id"] == approval["call_id"]
    assert deleted.attributes["threadkeeper.tool.approval"] == "approved"
    assert first.resource["service.name"] == "threadkeeper"
    assert first.resource["service.instance.id"] != second.resource["service.instance.id"]
    assert [span for span in spans if span.has_failed] == [completed]
    assert completed.attributes["error.type"] == "not_found"
    assert all(b"planted" not in body for body in collector.bodies)


@pytest.mark.long
async def test_unreachable_collector_is_logged_once(live_database: LiveDatabase, tmp_path: Path) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with ServerProcess(live_database, tmp_path, **variables) as server:
        async with open_socket(server, sign_in(server), uuid.uuid4()) as socket:
            await socket.send_and_wait("Add a task to buy milk")
            eventually(lambda: "collector" in server.output, what="a log line about the collector")
            await socket.send_and_wait("Add a task to buy bread")
        assert server.terminate() == 0
    [line] = [line for line in server.output.splitlines() if "WARNING" in line or "ERROR" in line]
    assert "chat.infra.otlp: The collector of traces does not accept them" in line
