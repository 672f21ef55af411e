"""The other product of `benchmarks.turns`: an app of Chainlit's as its documentation writes one, with the same agent.

Run by `chainlit run` in an environment of Chainlit's own, from a copy in a folder of its own; imports nothing of ours.
Signing in is by password, the history is kept by Chainlit's SQLAlchemy data layer, and what the model is to remember by
`cl.user_session`, which Chainlit stores with the thread.
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

GIVEN = json.loads(Path(os.environ["TURNS_AGENT"]).read_text())


async def _never(context: Any, arguments: str) -> str:
    raise NotImplementedError


def _agent() -> Agent[None]:
    client = AsyncOpenAI(api_key="none", base_url=GIVEN["base_url"], max_retries=0)
    tools = [
        FunctionTool(
            name=tool["name"],
            description=tool["description"],
            params_json_schema=tool["schema"],
            on_invoke_tool=_never,
        )
        for tool in GIVEN["tools"]
    ]
    return Agent(
        name="Assistant",
        instructions=GIVEN["instructions"],
        tools=[*tools],
        model=OpenAIResponsesModel(model=GIVEN["model"], openai_client=client),
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
    """Be there, so that Chainlit offers to go on with a thread."""


async def _sign_in(name: str, password: str) -> Any:
    return cl.User(identifier=name) if password == os.environ["TURNS_PASSWORD"] else None


def _data_layer() -> Any:
    return SQLAlchemyDataLayer(conninfo=os.environ["TURNS_DATABASE"])


cl.data_layer(_data_layer)
cl.password_auth_callback(_sign_in)
cl.on_chat_resume(_resume)
cl.on_message(_answer)
