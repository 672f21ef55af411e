"""Words sent through every entry point of a server appear in no metric, trace or log, including PostgreSQL's."""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from chat.tests.live import Person, open_socket, sign_in
from config.tests.collector import Collector
from config.tests.support import LiveDatabase, ServerProcess, eventually

pytestmark = pytest.mark.service
JSON = {"Content-Type": "application/json"}
METRICS_TOKEN = "plantedtoken of metrics"
PLANTED = "planted"  # each planted word begins with it


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def server(live_database: LiveDatabase, tmp_path: Path, collector: Collector) -> Iterator[ServerProcess]:
    variables = {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json", "METRICS_TOKEN": METRICS_TOKEN}
    variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    with ServerProcess(live_database, tmp_path, EMAIL_URL="smtp://127.0.0.1:9?timeout=2", **variables) as process:
        yield process


def postgres_log(url: str) -> Path | None:
    """Return the log of a database's embedded PostgreSQL; None for another PostgreSQL."""
    folder = parse_qs(urlsplit(url).query).get("host", [""])[0]
    log = Path(folder) / "log"
    return log if folder and log.exists() else None


def plant_in_pages(server: ServerProcess, person: Person) -> None:
    """Send forms and URLs with secrets, anonymously and signed in."""
    with httpx.Client(base_url=server.url, timeout=30) as anonymous:
        token = anonymous.get("/accounts/login/").cookies["csrftoken"]
        csrf = {"csrfmiddlewaretoken": token}
        for path, form in {
            "/accounts/login/": {"username": "plantedemail@example.com", "password": "plantedpassword"},
            "/accounts/signup/": {"email": "plantedemail@example.com", "password": "plantedpassword, a long one"},
            "/accounts/reset/": {"email": person.email},
        }.items():
            anonymous.post(path, data={**form, **csrf})
            anonymous.post(path, data=form)  # refused: no token
            anonymous.post(path, content=b"password=plantedpassword&\x00=%00", headers={"Host": "plantedhost.example"})
        for path in (
            "/accounts/reset/plantedid/plantedtoken/",
            "/accounts/reset/plantedid/plantedtoken",
            "/accounts/signup/plantedtoken/",
            "/settings/email/plantedtoken/",
            "/plantedpath?q=plantedquery",
            "/static/plantedpath",
            "/c/plantedpath/",
            "/%00plantedpath",
            "/admin/login/?next=/plantedquery",
        ):
            anonymous.get(path, headers={"Referer": "http://plantedreferer.example/?plantedquery"})
            anonymous.put(path, content=b"plantedtext")
    with httpx.Client(base_url=server.url, headers={"Cookie": person.cookie}, timeout=30) as browser:
        browser.get("/search/", params={"q": "plantedquery"})
        browser.post("/settings/", data={"email": "plantedemail@example.com", "current_password": "plantedpassword"})


def plant_in_programs(server: ServerProcess) -> None:
    """Send valid and invalid requests to the API and MCP."""
    account = {"email": "plantedprogram@example.com", "password": "plantedpassword, a long one"}
    with httpx.Client(base_url=server.url, headers=JSON, timeout=30) as program:
        program.post("/api/auth/register", json={**account, "email": "plantedstranger@example.com"})
        server.database.add_user(account["email"], account["password"])
        key = program.post("/api/auth/login", json=account).json()["access_token"]
        program.post("/api/auth/login", json={**account, "password": "plantedpassword"})
        program.post("/api/auth/login", content=b'{"password": "plantedpassword')
        for authorization in ("Bearer tk_plantedtoken", f"Bearer {key}"):
            program.headers["Authorization"] = authorization
            program.get("/api/auth/me", params={"access_token": "plantedtoken"})
            program.get("/api/search", params={"q": "plantedquery"})
            program.get("/api/sessions/planted", params={"items": "true", "reason": "plantedreason"})
            program.post("/api/sessions/planted/inspect", json={"reason": "plantedreason"})
            program.post("/api/tasks", json={"title": "plantedtitle", "due": "plantedtext"})
            program.post("/api/tasks", json={"title": "plantedtitle"})
            program.post("/api/chatkit", json={"type": "plantedtext", "params": {"text": "plantedtext"}})
            call = {"method": "tools/call", "params": {"name": "plantedtool", "arguments": {"a": "plantedtext"}}}
            program.post("/mcp", json={"jsonrpc": "2.0", "id": 1, **call})
            program.post("/mcp", content=b'{"plantedtext": ')
        thread = program.post("/api/chatkit/threads", json={}).json()["thread_id"]
        program.post(f"/api/chatkit/threads/{thread}/messages", json={"text": "Add a task: plantedtext"})


async def plant_in_sockets(server: ServerProcess, person: Person) -> None:
    """Send valid and invalid frames, and handshakes that are refused."""
    for origin in ("http://plantedorigin.example", server.url):
        try:
            async with open_socket(server, person, uuid.uuid4(), origin=origin) as socket:
                await socket.message("Add a task to buy plantedtext")
                await socket.message("plantedtext" * 2_000)
                for frame in ('{"type": "plantedtype", "text": "plantedtext"}', "plantedtext", '["plantedtext"]'):
                    await socket.connection.send(frame)
                await socket.connection.send(json.dumps({"type": "turn.stop", "turn_id": "plantedtext"}))
                await socket.pong()
        except InvalidStatus:
            assert origin != server.url


async def test_planted_words_appear_in_no_log_metric_or_trace(server: ServerProcess, collector: Collector) -> None:
    person = sign_in(server, "plantedperson")
    plant_in_pages(server, person)
    plant_in_programs(server)
    await plant_in_sockets(server, person)
    # The same again, while each of them causes an error of the database or the mail server.
    server.database.query("ALTER TABLE chat_task RENAME TO plantedrenamed")
    server.database.query("ALTER TABLE chat_apitoken RENAME COLUMN name TO plantedcolumn")
    with httpx.Client(base_url=server.url, headers={"Cookie": person.cookie}, timeout=30) as browser:
        assert browser.get("/", params={"q": "plantedquery"}).status_code == 500
    with httpx.Client(base_url=server.url, headers=JSON, timeout=30) as program:
        program.post("/api/auth/login", json={"email": person.email, "password": "plantedpassword"})
        program.get("/api/auth/me", headers={"Authorization": "Bearer tk_plantedtoken"})
    with pytest.raises((AssertionError, ConnectionClosedError), match="1011"):  # a new socket cannot read the task list
        await plant_in_sockets(server, person)
    eventually(lambda: "UndefinedTable" in server.output, what="an error in the log")

    metrics = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert "threadkeeper_messages_accepted_total" in metrics.text

    assert server.terminate() == 0
    entries = [json.loads(line) for line in server.output.splitlines()]
    assert any(entry.keys() >= {"time", "level", "logger", "message", "request_id"} for entry in entries)
    assert any("socket_id" in entry for entry in entries) and any("exception" in entry for entry in entries)
    assert {"session.open", "execute_tool create_task"} <= {span.name for span in collector.spans}
    traces = b"\n".join(collector.bodies).decode(errors="replace")
    logs = {"the server": server.output, "metrics": metrics.text, "traces": traces}
    if log := postgres_log(os.environ["DATABASE_URL"]):
        logs["PostgreSQL"] = log.read_text()
    found = {name: [line for line in text.splitlines() if PLANTED in line] for name, text in logs.items()}
    assert found == {name: [] for name in logs}
    assert "answered 404" in logs["the server"], "the log still contains requests"
