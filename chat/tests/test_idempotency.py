"""A creating request that is repeated with its idempotency key creates nothing new."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from chat.accounts import tokens
from chat.api import idempotency
from chat.models import ApiToken, Conversation, IdempotentRequest, Task, User
from chat.tests.api import bearer, error_code
from chat.tests.live import sign_in
from config.tests.support import PASSWORD, ServerProcess

CREATIONS: dict[str, tuple[dict[str, str], dict[str, str], type[Model]]] = {
    "/api/tasks": ({"title": "Buy milk"}, {"title": "Buy bread"}, Task),
    "/api/chatkit/threads": ({"title": "Groceries"}, {"title": "Errands"}, Conversation),
}


@pytest.mark.django_db
@pytest.mark.parametrize("path", CREATIONS)
def test_same_key_creates_one_object(client: Client, owner: User, outsider: User, path: str) -> None:
    body, other, model = CREATIONS[path]

    def post(content: dict[str, str], key: str = "k1", user: User = owner) -> Any:
        return client.post(path, content, "application/json", headers={**bearer(user), "Idempotency-Key": key})

    first, repeated = post(body), post(body)
    assert (first.status_code, repeated.status_code) == (201, 201)
    assert first.json() == repeated.json()
    assert dict(first.headers) == dict(repeated.headers)
    assert error_code(post(other), 422) == "key_reused"
    assert model._default_manager.count() == 1
    assert post(body, key="k2").status_code == 201
    assert post(other, user=outsider).status_code == 201
    with time_machine.travel(timezone.now() + idempotency.LIFETIME + timedelta(minutes=1)):
        assert post(other).status_code == 201
        assert idempotency.forget_expired() == 2
    assert IdempotentRequest.objects.count() == 1
    assert model._default_manager.count() == 4


@pytest.mark.django_db
def test_repeated_request_does_not_recreate_a_deleted_object(client: Client, owner: User) -> None:
    headers = {**bearer(owner), "Idempotency-Key": "k1"}
    for path, (body, _, model) in CREATIONS.items():
        assert client.post(path, body, "application/json", headers=headers).status_code == 201
        model._default_manager.all().delete()
        assert error_code(client.post(path, body, "application/json", headers=headers), 404) == "not_found"
        assert not model._default_manager.exists()


@pytest.mark.django_db
def test_token_is_created_once_and_its_key_is_not_stored(client: Client, owner: User) -> None:
    headers = {"Authorization": f"Bearer {tokens.make_by_sign_in(owner).key}", "Idempotency-Key": "k1"}
    body = {"name": "Script", "scopes": ["tasks"]}
    response = client.post("/api/auth/tokens", body, "application/json", headers=headers)
    assert response.status_code == 201
    repeated = client.post("/api/auth/tokens", body, "application/json", headers=headers)
    assert error_code(repeated, 409) == "conflict"
    assert response.json()["token_id"] in repeated.json()["error"]["detail"]
    assert ApiToken.objects.filter(name="Script").count() == 1


@pytest.mark.django_db
def test_refused_request_does_not_use_up_its_key(client: Client, owner: User) -> None:
    headers = {**bearer(owner), "Idempotency-Key": "k1"}
    assert client.post("/api/tasks", {"title": " "}, "application/json", headers=headers).status_code == 422
    assert client.post("/api/tasks", {"title": "Buy milk"}, "application/json", headers=headers).status_code == 201


@pytest.mark.service
async def test_concurrent_requests_with_one_key_create_one_task(shared_server: ServerProcess) -> None:
    person = sign_in(shared_server)
    async with httpx.AsyncClient(base_url=shared_server.url, timeout=60) as client:
        credentials = {"email": person.email, "password": PASSWORD}
        token = (await client.post("/api/auth/login", json=credentials)).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid.uuid4())}
        sent = [client.post("/api/tasks", json={"title": "Buy milk"}, headers=headers) for _ in range(8)]
        responses = await asyncio.gather(*sent)
    assert {response.status_code for response in responses} == {201}
    assert len({response.json()["task_id"] for response in responses}) == 1
    assert shared_server.database.query("SELECT count(*) FROM chat_task WHERE user_id = %s", person.id) == [(1,)]
