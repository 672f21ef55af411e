"""The Chainlit app of `benchmarks.turns`, written as in Chainlit's documentation, with the same agent.

`chainlit run` starts a copy of it in an environment and a folder of its own; it imports nothing of ours. Sign-in is by
password. Chainlit's SQLAlchemy data layer stores the history, and `cl.user_session`, which Chainlit stores with the
thread, holds the model's input.
"""

import json
import os
from pathlib import Path
from typing import Any

import chainlit as cl
from agents import Agent, FunctionTool, ModelSettings, OpenAIResponsesModel, RunConfig, Runner
from chainlit.data.sql_alchemy import SQLAlchemyDataLayer
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

CONFIG = json.loads(Path(os.environ["TURNS_AGENT"]).read_text())


async def _not_called(context: Any, arguments: str) -> str:
    raise NotImplementedError


def _agent() -> Agent[None]:
    client = AsyncOpenAI(api_key="none", base_url=CONFIG["base_url"], max_retries=0)
    tools = [
        FunctionTool(
            name=tool["name"],
            description=tool["description"],
            params_json_schema=tool["schema"],
            on_invoke_tool=_not_called,
        )
        for tool in CONFIG["tools"]
    ]
    return Agent(
        name="Assistant",
        instructions=CONFIG["instructions"],
        tools=[*tools],
        model=OpenAIResponsesModel(model=CONFIG["model"], openai_client=client),
        model_settings=ModelSettings(store=False, response_include=["reasoning.encrypted_content"]),
    )


AGENT = _agent()
RUN_CONFIG = RunConfig(tracing_disabled=True)


async def _answer(message: Any) -> None:
    history = [*(cl.user_session.get("history") or []), {"role": "user", "content": message.content}]
    reply = cl.Message(content="")
    result = Runner.run_streamed(AGENT, history, run_config=RUN_CONFIG)
    async for event in result.stream_events():
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
            await reply.stream_token(event.data.delta)
    cl.user_session.set("history", result.to_input_list())
    await reply.send()


async def _resume(thread: Any) -> None:
    """Exist, so that Chainlit offers to resume a thread."""


async def _sign_in(name: str, password: str) -> Any:
    return cl.User(identifier=name) if password == os.environ["TURNS_PASSWORD"] else None


def _data_layer() -> Any:
    return SQLAlchemyDataLayer(conninfo=os.environ["TURNS_DATABASE"])


cl.data_layer(_data_layer)
cl.password_auth_callback(_sign_in)
cl.on_chat_resume(_resume)
cl.on_message(_answer)
