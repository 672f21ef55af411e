"""The server process starts, stops and reports why it cannot start."""

import socket

import httpx
import pytest

from config.tests.support import ServerProcess, run

pytestmark = pytest.mark.service


def test_server_responds_and_stops_with_exit_code_0(server: ServerProcess) -> None:
    assert httpx.get(f"{server.url}/healthz").json()["status"] == "ok"
    assert server.terminate() == 0
    assert "Traceback" not in server.output


def test_port_in_use_is_reported_in_one_sentence(tmp_path: object) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("-m", "config.runtime.asgi_server", "--port", str(port), DATA_DIR=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == f"Port {port} on 127.0.0.1 is in use: choose another with --port.\n"


def test_host_of_another_machine_is_reported_in_one_sentence(tmp_path: object) -> None:
    result = run("-m", "config.runtime.asgi_server", "--host", "192.0.2.1", DATA_DIR=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == "Cannot listen on 192.0.2.1:8000: Cannot assign requested address.\n"
