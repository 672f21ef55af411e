"""The official MCP inspector (npm) lists and calls every tool of a real server: `-m long`, needs npx."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chat.tests.live import sign_in
from chat.tests.test_mcp_live import token_of
from config.tests.support import ServerProcess

pytestmark = [pytest.mark.long, pytest.mark.service]

PACKAGE = "@modelcontextprotocol/inspector@2.12.0"
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("create_task", {"title": "Buy milk", "priority": "high"}),
    ("create_task", {"title": "Pay rent"}),
    ("list_tasks", {"status": "pending", "limit": 10}),
    ("get_task", {"number": 1}),
    ("complete_task", {"number": 1}),
    ("update_task", {"number": 2, "title": "Pay the rent"}),
    ("delete_task", {"number": 1}),
]


@pytest.fixture
def inspector() -> str:
    """The path of npx."""
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("there is no npx to run the inspector with")
    return npx


def test_inspector_lists_and_calls_every_tool(inspector: str, shared_server: ServerProcess, tmp_path: Path) -> None:
    key = token_of(shared_server, sign_in(shared_server))["Authorization"]

    def inspect(method: str, *words: str, authorization: str = key) -> "subprocess.CompletedProcess[str]":
        target = ["--server-url", f"{shared_server.url}/mcp", "--transport", "http", "--stored-auth-only"]
        options = ["--header", f"Authorization: {authorization}", "--format", "json", "--quiet"]
        return subprocess.run(
            [inspector, "-y", PACKAGE, "--cli", *target, *options, "--method", method, *words],
            env={**os.environ, "MCP_CATALOG_PATH": str(tmp_path / "mcp.json")},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def call(name: str, arguments: dict[str, Any], *, code: int = 0) -> Any:
        process = inspect("tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments))
        assert process.returncode == code, process.stdout + process.stderr
        return json.loads(process.stdout)["result"]

    listed = inspect("tools/list", "--strict")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert len(json.loads(listed.stdout)["result"]["tools"]) == 7
    for name, arguments in CALLS:
        assert call(name, arguments)["structuredContent"]["ok"] is True, name
    pending = call("delete_tasks", {"numbers": [2]})["structuredContent"]
    deleted = call("delete_tasks", {"numbers": [2], "confirmation": pending["confirmation"]})["structuredContent"]
    assert (pending["deleted"], deleted["deleted"]) == (False, True)
    refused = call("get_task", {"number": 2}, code=5)
    assert (refused["isError"], refused["content"][0]["text"]) == (True, "There is no task 2.")
    anonymous = inspect("tools/list", authorization="Bearer tk_wrong")
    assert anonymous.returncode == 3, anonymous.stdout + anonymous.stderr
    assert "not_signed_in" in anonymous.stderr
