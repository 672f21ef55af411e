"""A server with an https PUBLIC_URL behind a proxy: checks, cookies, headers, redirects, probes, sockets."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from config.tests.support import PASSWORD, ROOT, LiveDatabase, ServerProcess, database, run

HOST = "chat.example.com"
PROXY = {"Host": HOST, "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
EMAIL = "person@example.com"


def test_django_deployment_checks_pass(tmp_path: Path) -> None:
    checked = run(
        ROOT / "manage.py",
        "check",
        "--deploy",
        "--fail-level",
        "WARNING",
        DATA_DIR=str(tmp_path),
        PUBLIC_URL=f"https://{HOST}",
    )
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


@pytest.fixture(scope="module")
def deployed(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("deployed")
    with (
        database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url),
        ServerProcess(LiveDatabase(url), folder, PUBLIC_URL=f"https://{HOST}") as server,
    ):
        server.database.add_user(EMAIL, staff=True)
        yield server


@pytest.fixture(scope="module")
def browser(deployed: ServerProcess) -> Iterator[httpx.Client]:
    """A signed-in browser whose requests come through the proxy."""
    with httpx.Client(base_url=deployed.url, headers=PROXY) as browser:
        token = browser.get("/accounts/login/").cookies["csrftoken"]
        form = {"username": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": token}
        # The client does not send Secure cookies over the plain connection of the proxy by itself.
        form_headers = {"Origin": f"https://{HOST}", "Cookie": f"csrftoken={token}"}
        response = browser.post("/accounts/login/", data=form, headers=form_headers)
        browser.headers["Cookie"] = f"sessionid={response.cookies['sessionid']}"
        yield browser


@pytest.mark.service
def test_cookies_are_secure_and_same_site(deployed: ServerProcess, browser: httpx.Client) -> None:
    cookies = browser.get("/accounts/login/", headers={"Cookie": ""}).headers.get_list("Set-Cookie")
    assert any(cookie.startswith("csrftoken=") for cookie in cookies)
    assert all("Secure" in cookie and "SameSite=Lax" in cookie for cookie in cookies)
    token = browser.get("/accounts/login/", headers={"Cookie": ""}).cookies["csrftoken"]
    form = {"username": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": token}
    form_headers = {"Origin": f"https://{HOST}", "Cookie": f"csrftoken={token}"}
    (login,) = (
        cookie
        for cookie in browser.post("/accounts/login/", data=form, headers=form_headers).headers.get_list("Set-Cookie")
        if cookie.startswith("sessionid=")
    )
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(login.split("; "))


@pytest.mark.service
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/admin/", 200),
        ("GET", "/nothing/", 404),
        ("GET", "/static/nothing.css", 404),
        ("GET", "/api/auth/me", 200),
        ("GET", "/api/nothing", 404),
        ("GET", "/healthz", 200),
        ("POST", "/healthz", 405),
        ("POST", "/accounts/login/", 403),
        ("POST", "/mcp", 401),
    ],
)
def test_every_response_has_security_headers(browser: httpx.Client, method: str, path: str, status: int) -> None:
    response = browser.request(method, path)
    assert response.status_code == status
    headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert all(len(headers.get_list(name)) == 1 for name in headers)


@pytest.mark.service
def test_static_file_has_only_security_headers_for_files(browser: httpx.Client) -> None:
    headers = browser.get("/static/css/base.css").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    for name in ("X-Frame-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy", "Permissions-Policy"):
        assert name not in headers
    assert "Content-Security-Policy" not in headers and "Access-Control-Allow-Origin" not in headers


@pytest.mark.service
def test_response_to_unknown_host_has_security_headers(deployed: ServerProcess) -> None:
    response = httpx.get(f"{deployed.url}/", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.service
def test_http_reported_by_proxy_is_redirected_to_https(deployed: ServerProcess) -> None:
    plain = httpx.get(f"{deployed.url}/c/?a=b", headers={**PROXY, "X-Forwarded-Proto": "http"})
    assert (plain.status_code, plain.headers["Location"]) == (301, f"https://{HOST}/c/?a=b")
    # There is no redirect loop behind a proxy that reports no scheme.
    assert httpx.get(f"{deployed.url}/accounts/login/", headers={"Host": HOST}).status_code == 200


@pytest.mark.service
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("host", ["10.0.0.7:8000", "evil.example", "_", "a b", "["])
def test_probes_accept_any_host(deployed: ServerProcess, path: str, host: str) -> None:
    response = httpx.get(f"{deployed.url}{path}", headers={"Host": host, "X-Forwarded-Proto": "http"})
    assert response.status_code == (200 if path == "/healthz" else 503)
    assert response.json()["status"] == ("ok" if path == "/healthz" else "not ready")
    assert "version" not in response.json()
    assert "Set-Cookie" not in response.headers
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.service
@pytest.mark.parametrize(
    ("origin", "forwarded", "accepted"),
    [
        (f"https://{HOST}", "https", True),
        (f"https://{HOST}:443", "https", True),
        (f"http://{HOST}", "https", False),
        (f"https://{HOST}:8443", "https", False),
        *((odd.format(HOST), "https", False) for odd in ("ftp://{}", "//{}", "{}", "https://evil.test#@{}")),
        *((odd.format(HOST), "https", False) for odd in ("https://{}.evil.test", "https://evil.test@{}")),
        ("https://127.0.0.1", "https", False),
    ],
)
async def test_websocket_requires_same_origin(
    deployed: ServerProcess, browser: httpx.Client, origin: str, forwarded: str, accepted: bool
) -> None:
    headers = {"X-Forwarded-Proto": forwarded, "Cookie": browser.headers["Cookie"]}
    url = f"{deployed.ws_url.replace('127.0.0.1', 'localhost')}/ws/chat/{uuid.uuid4()}/"
    try:
        async with connect(url, additional_headers=headers, origin=Origin(origin), proxy=None) as socket:
            assert '"ready"' in str(await socket.recv())
            opened = True
    except InvalidStatus:
        opened = False
    assert opened is accepted
