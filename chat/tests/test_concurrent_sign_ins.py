"""Many users sign in at the same moment without delaying other requests."""

import asyncio
import statistics
import time
from typing import Any, cast

import httpx
import pytest
from pytest_django import Settings

from chat.web import handler
from config.tests.support import PASSWORD, ServerProcess

SIGN_INS = 50


async def seconds_for(client: httpx.AsyncClient, path: str) -> float:
    began = time.monotonic()
    response = await client.get(path)
    assert response.status_code in (200, 503)  # no worker runs here, which /readyz reports
    return time.monotonic() - began


@pytest.mark.long
@pytest.mark.service
async def test_server_responds_promptly_during_many_sign_ins(server: ServerProcess) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
        credentials = ({"email": f"person{n}@example.com", "password": PASSWORD} for n in range(SIGN_INS))
        sign_ins = [asyncio.create_task(client.post("/api/auth/login", json=body)) for body in credentials]
        await asyncio.wait(sign_ins, return_when=asyncio.FIRST_COMPLETED)

        health = [await seconds_for(client, "/healthz") for _ in range(40)]
        pages = [await seconds_for(client, path) for path in ("/readyz", "/accounts/login/", "/readyz")]

        in_progress = sum(not sign_in.done() for sign_in in sign_ins)
        assert in_progress > SIGN_INS / 2, "most sign-ins must still be in progress during the measurement"
        assert statistics.median(health) < 0.1, health
        assert max(pages) < 2, pages
        server.kill9()
        await asyncio.gather(*sign_ins, return_exceptions=True)


@pytest.fixture
def client(settings: Settings, transactional_db: None) -> httpx.AsyncClient:
    settings.SIGN_INS_PER_MINUTE, settings.ALLOWED_HOSTS = 1, ["test"]
    transport = httpx.ASGITransport(cast(Any, handler.QueueingHandler()))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


BODY = {"email": "nobody@example.com", "password": PASSWORD}


async def test_address_with_too_many_sign_ins_gets_429(client: httpx.AsyncClient) -> None:
    first, second = [await client.post("/api/auth/login", json=BODY) for _ in range(2)]
    assert first.status_code == 401
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limited")
    for path in ("/accounts/login/", "/accounts/signup/", "/accounts/reset/", "/accounts/reset/MQ/set-password/"):
        page = await client.post(path, data={"email": "nobody@example.com"})
        assert (page.status_code, "Too many attempts" in page.text) == (429, True)
        assert int(page.headers["Retry-After"]) > 0
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert (await client.get("/accounts/login/")).status_code == 200


async def test_sign_in_gets_503_when_too_many_are_waiting(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "WAITING_PER_ADDRESS", 0)
    response = await client.post("/api/auth/login", json=BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "busy")
    assert int(response.headers["Retry-After"]) > 0
