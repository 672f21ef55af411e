"""An MCP client, by the official SDK, and the server that it uses."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from chat.infra.db_threads import in_database
from chat.mcp import service
from chat.mcp.application import application
from chat.models import User
from chat.tests.api import bearer

HERE = "http://localhost"
MODES = ("legacy", "auto")  # the handshake before version 2026-07-28, and none


@pytest.fixture
async def running_service(transactional_db: None) -> AsyncIterator[None]:
    """Run the MCP server in this process."""
    await service.start()
    yield
    await service.stop(5)


@pytest.fixture
async def key(running_service: None, owner: User) -> dict[str, str]:
    """The header with a token of the owner."""
    return await in_database(bearer, owner, "tasks")


class Person:
    """The user of the client, who answers elicitations; keeps the questions."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.questions: list[str] = []

    async def answer(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Answer an elicitation."""
        self.questions.append(params.message)
        return ElicitResult.model_validate({"action": self.action, "content": {}})


def http_client(headers: Mapping[str, str], server: str = "") -> httpx2.AsyncClient:
    """Return an HTTP client of a server, or of the application in this process."""
    transport = None if server else httpx2.ASGITransport(app=application)
    return httpx2.AsyncClient(base_url=server or HERE, transport=transport, headers=dict(headers), timeout=60)


@asynccontextmanager
async def mcp_client(
    headers: Mapping[str, str], *, server: str = "", mode: str = "auto", person: Person | None = None
) -> AsyncIterator[Client]:
    """Connect an MCP client with these headers."""
    async with http_client(headers, server) as http:
        transport = streamable_http_client(f"{server or HERE}/mcp", http_client=http)
        callback = person.answer if person else None
        async with Client(transport, mode=mode, elicitation_callback=callback) as client:
            yield client


def tool_result(result: CallToolResult) -> dict[str, Any]:
    """Return a tool's structured result, after checking that it is no error."""
    assert not result.is_error, result.content
    structured: dict[str, Any] = result.structured_content
    return structured


def tool_error(result: CallToolResult) -> str:
    """Return the error message of a tool result."""
    assert result.is_error and result.structured_content is None, result
    (text_content,) = result.content
    assert isinstance(text_content, TextContent)
    return text_content.text
