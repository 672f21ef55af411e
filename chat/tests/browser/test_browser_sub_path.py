"""The site under a path of its host, behind nginx as in a deployment: no request leaves the path."""

import json
import os
import re
import ssl
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from websockets.sync.client import connect

from chat.tests.browser.conftest import expect_state, send_message
from config.tests.nginx import Nginx
from config.tests.support import PASSWORD, LiveDatabase, ServerProcess, database, free_port

pytestmark = pytest.mark.long

ROOT = "/chat"
STAFF = "staff@example.com"


@dataclass(frozen=True)
class Deployment:
    """A server, the proxy in front of it, and the URL of the site."""

    server: ServerProcess
    proxy: Nginx

    @property
    def url(self) -> str:
        return self.proxy.url

    @property
    def tls_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.proxy.log.parent / "certificate.pem")

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.tls_context, timeout=30)


@pytest.fixture(scope="module")
def deployment(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder, port = tmp_path_factory.mktemp("sub_path"), free_port()
    with (
        database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url),
        ServerProcess(LiveDatabase(url), folder, PUBLIC_URL=f"https://localhost:{port}{ROOT}/") as server,
        Nginx(folder, f"127.0.0.1:{server.port}", port=port, root_path=ROOT) as proxy,
    ):
        server.database.add_user(STAFF, staff=True)
        yield Deployment(server, proxy)


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser context that must make no request outside the path, and in which no request or script may fail."""
    context = chromium.new_context(ignore_https_errors=True)
    requested: list[str] = []
    faults: list[str] = []
    context.on("request", lambda request: requested.append(request.url))
    context.on("response", lambda response: faults.append(response.url) if response.status >= 400 else None)
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    yield context
    cookies = {cookie["name"]: cookie["path"] for cookie in context.cookies()}
    context.close()
    assert requested
    assert [url for url in requested if not f"{urlsplit(url).path}/".startswith(f"{ROOT}/")] == []
    assert faults == []
    assert set(cookies.values()) == {f"{ROOT}/"}, cookies


def sign_in(page: Page, email: str) -> None:
    """Fill in and submit the login form."""
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_user_pages_work_below_the_path(deployment: Deployment, context: BrowserContext) -> None:
    page = context.new_page()
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(deployment.url)
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("E-mail address").fill(f"{uuid.uuid4().hex[:8]}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect_state(page, "online")

    send_message(page, "Add a task to water the plants")
    assert re.fullmatch(rf"{deployment.url}/c/[0-9a-f-]{{36}}/", page.url)
    page.reload()
    expect_state(page, "online")
    expect(page.locator("#task-list .task__title")).to_have_text(["Water the plants"])
    assert "plants" in send_message(page, "What is on my list?")
    assert {urlsplit(url).path.rsplit("/", 2)[0] for url in sockets} == {f"{ROOT}/ws/chat"}

    with page.expect_response(re.compile("/api/tasks/")) as changed:
        page.locator("#task-list input[type=checkbox]").first.check()
    assert changed.value.ok
    page.get_by_test_id("search").fill("plants")
    expect(page.get_by_test_id("search-result")).to_have_count(1)
    page.get_by_test_id("search-result").click()
    expect_state(page, "online")
    page.locator("#bar-menu summary").click()
    with page.expect_download() as exported:
        page.locator("#bar-menu").get_by_text("Export as Markdown").click()
    assert "plants" in exported.value.path().read_text()
    page.locator("#bar-menu summary").click()
    page.locator("#bar-menu").get_by_text("Archive").click()
    expect(page.get_by_test_id("toast")).to_contain_text("Undo")

    for path in ("/settings/", "/settings/tokens/", "/archive/", "/trash/", "/chats/"):
        page.goto(deployment.url + path)
        expect(page.get_by_role("heading").first).to_be_visible()
    page.goto(f"{deployment.url}/settings/tokens/")
    page.get_by_role("link", name="API documentation").click()
    expect(page.get_by_text("Threadkeeper").first).to_be_visible()
    page.goto(deployment.url)
    expect_state(page, "online")
    page.get_by_role("button", name="Sign out").click()
    assert page.url == f"{deployment.url}/accounts/login/"


def test_admin_works_below_the_path(deployment: Deployment, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{deployment.url}/admin/")
    sign_in(page, STAFF)
    expect(page).to_have_url(f"{deployment.url}/admin/")
    page.goto(f"{deployment.url}/admin/chat/user/")
    page.get_by_role("link", name=STAFF).click()
    page.get_by_role("button", name="Save", exact=True).click()
    # The message is shown after a redirect.
    expect(page.locator(".messagelist .success")).to_contain_text("was changed successfully")
    page.get_by_role("link", name="View site").click()
    expect_state(page, "online")


def register(site: httpx.Client) -> dict[str, str]:
    """Register an account and return the header of an API client."""
    account = {"email": f"{uuid.uuid4().hex[:8]}@example.com", "password": PASSWORD}
    response = site.post("/api/auth/register", json=account)
    assert response.status_code == 201, response.text
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


def test_apis_work_below_the_path(deployment: Deployment) -> None:
    with deployment.client() as site:
        site.headers.update(register(site))
        thread = site.post("/api/chatkit/threads", json={}).json()["thread_id"]
        answer = site.post(f"/api/chatkit/threads/{thread}/messages", json={"text": "Add a task to water the plants"})
        assert '"type":"message_end"' in answer.text.replace(" ", "")
        turn_path = answer.headers["Content-Location"]
        assert turn_path.startswith(f"{ROOT}/api/chatkit/threads/{thread}/turns/")
        assert "message_end" in site.get(f"https://localhost:{deployment.proxy.port}{turn_path}").text
        schema = site.get("/api/openapi.json").json()
        assert schema["servers"] == [{"url": "/"}]
        assert f"{ROOT}/api/tasks" in schema["paths"]
        assert site.get("/api/nothing").json()["error"]["code"] == "not_found"
        chatkit = {"type": "threads.list", "params": {"limit": 5}}
        assert thread in site.post("/api/chatkit", json=chatkit).text
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_tasks", "arguments": {}}}
        accept = {"Accept": "application/json, text/event-stream"}
        assert "Water the plants" in site.post("/mcp", json=call, headers=accept).text
        assert site.get("/healthz").json() == {"status": "ok"}
        assert site.get("/favicon.ico").headers["Location"].startswith(f"{ROOT}/static/img/")
        # Above the body limit of pages, below that of the API.
        long = site.post(f"/api/chatkit/threads/{thread}/messages", json={"text": "é" * 20_000})
        assert long.status_code == 422, long.text
        url = f"wss://localhost:{deployment.proxy.port}{ROOT}/ws/chat/{uuid.uuid4()}/"
        headers = {"Authorization": site.headers["Authorization"]}
        with connect(url, ssl=deployment.tls_context, additional_headers=headers) as socket:
            assert json.loads(socket.recv())["type"] == "ready"


def test_proxy_may_strip_the_path(deployment: Deployment) -> None:
    proxied = {
        "Host": f"localhost:{deployment.proxy.port}",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "192.0.2.1",
    }
    with httpx.Client(base_url=deployment.server.url, headers=proxied) as site:
        page = site.get("/accounts/login/")
        sources = re.findall(r'(?:src|href)="(/[^"]*)"', page.text)
        assert sources and all(source.startswith(f"{ROOT}/") for source in sources)
        style = next(source for source in sources if source.endswith(".css"))
        assert site.get(style).status_code == site.get(style.removeprefix(ROOT)).status_code == 200
        assert site.get("/").headers["Location"] == f"{ROOT}/accounts/login/?next={ROOT}/"
        assert site.get("/api/auth/me").json()["error"]["code"] == "not_signed_in"
        assert site.get("/healthz").json() == site.get(f"{ROOT}/healthz").json() == {"status": "ok"}
        plain = site.get("/settings/", headers={"X-Forwarded-Proto": "http"})
        assert plain.headers["Location"] == f"{deployment.url}/settings/"
        assert site.get(ROOT).headers["Location"] == f"{ROOT}/"
