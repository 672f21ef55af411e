"""`up --servers N` serves one port with several processes."""

from pathlib import Path

import httpx
import psutil
import pytest

from chat.tests.redis_server import RedisServer
from config.tests.support import LiveDatabase, Up, eventually, processes_of
from config.tests.test_start_errors import startup_error

pytestmark = [pytest.mark.service, pytest.mark.xdist_group("up")]


def servers(up: Up) -> list[psutil.Process]:
    """Return the running server processes."""
    children = psutil.Process(up.process.pid).children()
    return [child for child in children if "config.runtime.asgi_server" in child.cmdline()]


@pytest.mark.long
def test_killed_server_is_restarted_while_the_other_responds(live_database: LiveDatabase, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with RedisServer(tmp_path) as redis:
        variables = {"DATABASE_URL": live_database.url, "REDIS_URL": redis.url}
        up = Up(data_dir, "--servers", "2", "--no-worker", **variables).await_started()
        first, second = servers(up)
        first.kill()
        assert httpx.get(f"{up.url}/readyz").json()["redis"] is True
        eventually(lambda: "it is restarted" in up.output, what=f"a restart in\n{up.output}")
        assert "The server 1 stopped" in up.output
        # The other server accepts the connections.
        assert {httpx.get(f"{up.url}/healthz").status_code for _ in range(20)} == {200}
        eventually(lambda: len(servers(up)) == 2 and first not in servers(up), what="the second server")
        assert second in servers(up)
        assert up.stop() == 0
        assert "CRITICAL" not in up.output
        assert not processes_of(data_dir)


def test_several_servers_without_required_services_are_refused(tmp_path: Path) -> None:
    assert startup_error(tmp_path, "--port", "0", "--servers", "2").startswith("Several servers need REDIS_URL")
    error = startup_error(tmp_path, "--port", "0", "--servers", "9", REDIS_URL="redis://127.0.0.1:1")
    assert error == "More than 4 servers need a PostgreSQL of your own: set DATABASE_URL."
    assert startup_error(tmp_path, "--port", "0", "--servers", "0") == "--servers must be a number from 1 to 64."
    error = startup_error(tmp_path, "--port", "0", REDIS_URL="localhost:6379")
    assert error.startswith("REDIS_URL cannot be used: it must be a URL such as redis://")
