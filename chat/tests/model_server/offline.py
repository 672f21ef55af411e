"""The offline model behind the endpoint, to drive the whole product over HTTP."""

import re

from agents import FunctionTool, ModelSettings, ModelTracing
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from chat.assistant.offline.model import OfflineModel
from chat.tests.model_server.request import Request
from chat.tests.model_server.script import Answer, Call, Part, Text

_WORDS = re.compile(r"\s*\S+|\s+")


async def answer_offline(request: Request) -> Answer:
    """Answer a request with the offline model, using only the content of the request."""
    response = await OfflineModel().get_response(
        request.instructions or None,
        request.items,  # type: ignore[arg-type]  # the same items, received over HTTP
        ModelSettings(),
        [_tool(name) for name in request.tool_names],
        None,
        [],
        ModelTracing.DISABLED,
        previous_response_id=None,
        conversation_id=None,
        prompt=None,
    )
    parts: list[Part] = []
    for item in response.output:
        if isinstance(item, ResponseFunctionToolCall):
            parts.append(Call(item.name, item.arguments, item.call_id))
        elif isinstance(item, ResponseOutputMessage):
            text = "".join(part.text for part in item.content if isinstance(part, ResponseOutputText))
            parts.append(Text(tuple(_WORDS.findall(text))))
    usage = response.usage
    return Answer(parts=tuple(parts), input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


def _tool(name: str) -> FunctionTool:
    async def never(context: object, arguments: str) -> str:
        raise NotImplementedError

    return FunctionTool(
        name=name, description="", params_json_schema={"properties": {}}, on_invoke_tool=never, strict_json_schema=False
    )
