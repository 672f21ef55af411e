"""Other sites cannot act for a signed-in user, nor use this site for open redirects."""

import re
import uuid
from urllib.parse import quote, urlsplit

import httpx

from config.tests.attack.clients import Browser, Person
from config.tests.attack.marks import product_group
from config.tests.attack.product import HOST, ORIGIN, Product

pytestmark = product_group

OFFSITE_URLS = [
    "https://evil.test/",
    "//evil.test/",
    "///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "https:evil.test",
    "https:///evil.test",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "%2f%2fevil.test",
    "/%09/evil.test",
    "\t//evil.test",
    "/\t/evil.test",
    "\r\nSet-Cookie: a=b",
    "http://chat.example.test/",
    f"https://{HOST}@evil.test/",
    f"https://{HOST}.evil.test/",
    "https://evil.test\\@chat.example.test/",
    "\x00//evil.test",
    "//evil%E3%80%82test",
]


def redirects_offsite(response: httpx.Response) -> bool:
    """Return whether a response redirects a browser to another site."""
    location = response.headers.get("location", "")
    # As a browser normalizes it.
    cleaned = re.sub(r"[\t\r\n]", "", location).strip("\x00\x20").replace("\\", "/")
    target = urlsplit(cleaned)
    return bool(target.netloc and f"{target.scheme}://{target.netloc}" != ORIGIN) or target.scheme not in ("", "https")


def forms(person: Person) -> list[tuple[str, dict[str, str]]]:
    """Return the path and fields of each form that changes data."""
    thread, token = person.new_thread(), uuid.uuid4()
    return [
        ("/accounts/login/", {"username": person.email, "password": "x"}),
        ("/accounts/logout/", {}),
        ("/accounts/signup/", {"email": "a@example.com", "password": "a Good passphrase 77"}),
        ("/accounts/password/", {"old_password": "x"}),
        ("/accounts/reset/", {"email": person.email}),
        ("/accounts/reset/MQ/set-password/", {"new_password1": "x"}),
        ("/settings/", {"form": "time_zone", "time_zone": "Europe/Berlin"}),
        ("/settings/tokens/", {"name": "x", "scopes": "chat", "days": ""}),
        (f"/settings/tokens/{token}/revoke/", {}),
        ("/settings/data/export/", {}),
        ("/settings/data/delete/", {"current_password": "x"}),
        (f"/c/{thread}/shelf/", {"do": "trash"}),
        ("/trash/keep/", {}),
        ("/trash/empty/", {}),
        ("/admin/login/", {"username": "x", "password": "x"}),
        ("/admin/logout/", {}),
        ("/admin/chat/user/", {"action": "erase"}),
    ]


def test_form_without_csrf_token_is_refused(person: Person) -> None:
    browser = person.browser
    for path, fields in forms(person):
        for headers in (
            {},
            {"Origin": "https://evil.test", "Referer": "https://evil.test/"},
            {"Origin": "null"},
            {"Referer": f"{ORIGIN}/"},
        ):
            response = browser.post(path, data=fields, headers=headers)
            assert response.status_code in (302, 403, 404, 405), (path, headers, response.status_code)
            if response.status_code == 302:
                # A user who is not staff is redirected to the sign-in page.
                assert path.startswith("/admin/"), path
        token = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        foreign = browser.post(path, data=fields | token, headers={"Origin": "https://evil.test"})
        assert foreign.status_code in (302, 403, 404, 405), path
    assert browser.is_signed_in


def test_api_request_with_session_cookie_needs_csrf_token(person: Person) -> None:
    browser, thread = person.browser, person.new_thread()
    operations = [
        ("POST", "/api/tasks", {"title": "Forged"}),
        ("POST", "/api/chatkit/threads", {}),
        ("POST", f"/api/chatkit/threads/{thread}/messages", {"text": "Forged"}),
        ("PATCH", f"/api/chatkit/threads/{thread}", {"title": "Forged"}),
        ("DELETE", f"/api/chatkit/threads/{thread}", {}),
        ("POST", "/api/chatkit", {"type": "threads.delete", "params": {"thread_id": thread}}),
        ("POST", "/api/auth/tokens", {"name": "x", "scopes": ["chat"]}),
        ("POST", "/api/cleanup-runs", {"dry_run": True}),
    ]
    for method, path, body in operations:
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            for origin in ({}, {"Origin": "https://evil.test"}, {"Origin": "null"}):
                request = browser.build_request(method, path, json=body, headers=origin)
                request.headers["Content-Type"] = kind
                assert browser.send(request).status_code in (401, 403), (method, path, kind, origin)
    # A session cookie gives no access to the MCP server.
    assert browser.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).status_code == 401
    with person.program() as program:
        assert program.get("/api/tasks").json()["items"] == []
        assert program.get(f"/api/chatkit/threads/{thread}").json()["messages"] == []


def test_site_never_redirects_to_another_site(product: Product, person: Person) -> None:
    for offsite_url in OFFSITE_URLS:
        quoted = quote(offsite_url, safe="%")
        with Browser(product) as anonymous:
            for path in ("/accounts/login/", "/accounts/signup/", "/admin/login/"):
                page = anonymous.get(f"{path}?next={quoted}")
                assert page.status_code < 500
                assert not redirects_offsite(page), (path, offsite_url)
                assert 'value="javascript' not in page.text.lower()
            response = anonymous.submit(
                f"/accounts/login/?next={quoted}", username=person.email, password="correct horse battery"
            )
            assert not redirects_offsite(response), offsite_url
        browser = person.browser
        for path in ("/accounts/login/", "/accounts/signup/"):
            assert not redirects_offsite(browser.get(f"{path}?next={quoted}")), (path, offsite_url)
        data = {"do": "pin", "next": offsite_url, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        response = browser.post(f"/c/{person.new_thread()}/shelf/", data=data, headers={"Referer": f"{ORIGIN}/"})
        assert not redirects_offsite(response), offsite_url
        assert "\n" not in response.headers.get("location", "")
    for path in ["//evil.test/..", "//evil.test", "/%2f/evil.test", "/\\evil.test", "//evil.test/%2e%2e"]:
        assert not redirects_offsite(httpx.get(f"{product.url}{path}", headers={"Host": HOST})), path
