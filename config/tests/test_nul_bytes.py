"""NUL characters are refused in every part of a request, since PostgreSQL cannot store them."""

import json
from typing import Any

import pytest
from django.test import AsyncClient, Client

PAGES = ("/", "/accounts/login/", "/accounts/signup/", "/admin/", "/admin/chat/user/", "/static/x", "/healthz")


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_nul_in_url_is_refused(page: str, staff_client: Client) -> None:
    urls = (f"{page}?q=a%00b", f"{page}?a%00b=1", f"{page}?next=/%00", f"{page.rstrip('/')}%00/")
    assert [staff_client.get(url).status_code for url in urls] == [400] * 4


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["sessionid", "csrftoken", "messages", "anything"])
def test_escaped_nul_in_quoted_cookie_is_refused(name: str, client: Client) -> None:
    assert client.get("/accounts/login/", headers={"cookie": f'{name}="a\\000b"'}).status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("page", "fields"),
    [
        ("/accounts/login/", {"username": "a\0b@example.com", "password": "x"}),
        ("/accounts/login/", {"username": "a@example.com", "password": "x\0"}),
        ("/accounts/login/?next=/", {"username": "a@example.com", "password": "x", "next": "/\0"}),
        ("/settings/", {"form": "email\0"}),
        ("/admin/compare/", {"repair": "1", "reason": "a\0b"}),
        ("/admin/chat/user/", {"action": "deactivate", "_selected_action": "\0"}),
        ("/admin/chat/agentsession/", {"action": "hold", "_selected_action": "1", "reason": "\0", "confirmed": "yes"}),
    ],
)
def test_nul_in_form_is_refused(page: str, fields: dict[str, str], staff_client: Client) -> None:
    assert staff_client.post(page, fields).status_code == 400
    assert staff_client.post(page, fields, headers={"accept": "application/json"}).status_code == 400


async def test_nul_in_asynchronous_request_is_refused() -> None:
    client = AsyncClient()
    assert (await client.get("/?q=%00")).status_code == 400
    assert (await client.post("/accounts/login/", {"username": "\0"})).status_code == 400
    assert (await client.get("/favicon.ico?q=0")).status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("get", "/api/tasks?after=%00", None),
        ("get", "/api/chatkit/threads?after=AAAA", None),
        ("get", "/api/search?q=%00", None),
        ("get", "/api/sessions?user=%00", None),
        ("get", "/api/sessions/a%00b", None),
        ("post", "/api/tasks", {"title": "a\0b"}),
        ("post", "/api/auth/login", {"email": "a\0b@example.com", "password": "\0"}),
        ("post", "/api/chatkit/threads", {"title": "\0"}),
    ],
)
def test_nul_in_api_request_is_refused(method: str, url: str, body: Any, staff_client: Client) -> None:
    options: dict[str, Any] = {"content_type": "application/json", "data": json.dumps(body)} if body else {}

    response = getattr(staff_client, method)(url, **options)

    assert response.status_code in (400, 401, 403, 422)
    assert response.json()["error"]


@pytest.mark.parametrize("charset", ["latin-1", "utf-7"])
async def test_form_in_unsupported_charset_is_refused(charset: str) -> None:
    kind = f"application/x-www-form-urlencoded; charset={charset}"
    response = await AsyncClient().post("/accounts/login/", data="username=x", content_type=kind)
    assert response.status_code == 400
