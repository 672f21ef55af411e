"""The offline model for the Agents SDK: it reads items and streams one response."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from agents import Model, ModelResponse, Usage
from agents.agent_output import AgentOutputSchemaBase
from agents.handoffs import Handoff
from agents.items import TResponseInputItem, TResponseOutputItem, TResponseStreamEvent
from agents.model_settings import ModelSettings
from agents.models.interface import ModelTracing
from agents.tool import Tool
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from openai.types.responses.response_prompt_param import ResponsePromptParam

from chat.assistant.offline import budget
from chat.assistant.offline.calendar import weeks_from
from chat.assistant.offline.context import Instructions, read_turns
from chat.assistant.offline.dialog_state import Call
from chat.assistant.offline.planning import next_step
from chat.assistant.offline.streaming import estimated_usage, events, written_text

NAME = "offline"
# The rules hold the GIL while they run, so a second thread would only take time from the event loop. Turns are served
# in order, each within the budget.
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offline-model")


class OfflineModel(Model):
    """A stateless model that reads only the instructions, the items and the tools' names."""

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: ResponsePromptParam | None,
    ) -> ModelResponse:
        """Decide the next step of the turn and return it whole."""
        response = await _decide(system_instructions, input, tools)
        return ModelResponse(output=response.output, usage=_to_usage(response), response_id=response.id)

    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: ResponsePromptParam | None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Decide the next step of the turn and stream it."""
        for event in events(await _decide(system_instructions, input, tools)):
            yield event
            # This loop never blocks, so without this one long reply would delay all other turns.
            await asyncio.sleep(0)


async def _decide(
    system_instructions: str | None, items: str | list[TResponseInputItem], tools: list[Tool]
) -> Response:
    """Decide the next step outside the event loop."""
    names = frozenset(tool.name for tool in tools)
    return await asyncio.get_running_loop().run_in_executor(_thread, _respond, system_instructions or "", items, names)


def _respond(system_instructions: str, items: str | list[TResponseInputItem], tools: frozenset[str]) -> Response:
    instructions = Instructions.read(system_instructions)
    with budget.limited(), weeks_from(instructions.week_start):
        step = next_step(instructions, read_turns(items), tools)
    output: list[TResponseOutputItem] = [_message(step)] if isinstance(step, str) else [_call(call) for call in step]
    return Response(
        id=f"resp_{uuid.uuid4().hex}",
        created_at=int(instructions.now.timestamp()),
        model=NAME,
        object="response",
        output=output,
        parallel_tool_calls=True,
        status="completed",
        tool_choice="auto",
        tools=[],
        usage=estimated_usage(len(system_instructions) + _size(items), len(written_text(output))),
    )


def _size(items: str | list[TResponseInputItem]) -> int:
    """Count the characters of the items, roughly as many as a model would read."""
    if isinstance(items, str):
        return len(items)
    fields = [field for item in items if isinstance(item, Mapping) for field in item.items()]
    return sum(len(name) + len(value if isinstance(value, str) else str(value)) for name, value in fields)


def _message(text: str) -> ResponseOutputMessage:
    return ResponseOutputMessage(
        id=f"msg_{uuid.uuid4().hex}",
        type="message",
        role="assistant",
        status="completed",
        content=[ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=[])],
    )


def _call(call: Call) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(
        id=f"fc_{uuid.uuid4().hex}",
        call_id=f"call_{uuid.uuid4().hex}",
        type="function_call",
        name=call.name,
        arguments=json.dumps(call.arguments, ensure_ascii=False),
        status="completed",
    )


def _to_usage(response: Response) -> Usage:
    if response.usage is None:
        return Usage(requests=1)
    return Usage(
        requests=1,
        input_tokens=response.usage.input_tokens,
        output_tokens=response.usage.output_tokens,
        total_tokens=response.usage.total_tokens,
    )
