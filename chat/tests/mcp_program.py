"""A program that speaks MCP, by the official client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from chat.mcp.application import application

HERE = "http://localhost"
MODES = ("legacy", "auto")  # the handshake of before 2026-07-28, and without one


class Person:
    """Somebody whom the program can ask, and what they were asked."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.asked: list[str] = []

    async def answer(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Answer a question."""
        self.asked.append(params.message)
        return ElicitResult.model_validate({"action": self.action, "content": {}})


def web(headers: Mapping[str, str], server: str = "") -> httpx2.AsyncClient:
    """Return an HTTP client of a server, or of the application in this process."""
    transport = None if server else httpx2.ASGITransport(app=application)
    return httpx2.AsyncClient(base_url=server or HERE, transport=transport, headers=dict(headers), timeout=60)


@asynccontextmanager
async def program(
    headers: Mapping[str, str], *, server: str = "", mode: str = "auto", person: Person | None = None
) -> AsyncIterator[Client]:
    """Connect a program that shows these headers."""
    async with web(headers, server) as http:
        transport = streamable_http_client(f"{server or HERE}/mcp", http_client=http)
        asks = person.answer if person else None
        async with Client(transport, mode=mode, elicitation_callback=asks) as client:
            yield client


def answer(result: CallToolResult) -> dict[str, Any]:
    """Return what a tool answered, which its text says too."""
    assert not result.is_error, result.content
    structured: dict[str, Any] = result.structured_content
    return structured


def refusal(result: CallToolResult) -> str:
    """Return the sentence that a tool refused with."""
    assert result.is_error and result.structured_content is None, result
    (said,) = result.content
    assert isinstance(said, TextContent)
    return said.text
