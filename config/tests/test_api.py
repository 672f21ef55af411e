"""Rules of the whole HTTP API: errors, scopes and the OpenAPI document."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.test import Client
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from chat.models import User
from chat.tests.api import bearer, error_code
from config.api import api

pytestmark = pytest.mark.django_db
# Operations that need no scope: those of the user's own account, and public ones.
WITHOUT_SCOPE = {"get_health", "get_me", "register", "sign_in", "list_tokens", "create_token", "revoke_token"}


def operations() -> dict[str, dict[str, object]]:
    paths = api.get_openapi_schema()["paths"].values()
    return {operation["operationId"]: operation for path in paths for operation in path.values()}


def test_health_reports_each_component(client: Client) -> None:
    response = client.get("/api/health")
    assert set(response.json()) == {"status", "database", "sessions", "worker", "schedule", "version"}
    assert response.json()["version"] == settings.VERSION
    # No worker runs in a test.
    assert (response.status_code, response.json()["status"], response.json()["worker"]) == (503, "not ready", False)


@pytest.mark.parametrize("path", ["", "nothing", "nothing/", "auth/me/", "auth/me/x", "tasks/"])
def test_unknown_path_returns_json_404_before_authentication(owner: User, path: str) -> None:
    strict = Client(enforce_csrf_checks=bool(path))
    for method in (strict.get, strict.post, strict.put, strict.patch, strict.delete):
        for headers in ({}, bearer(owner)):
            assert error_code(method(f"/api/{path}", headers=headers), 404) == "not_found"


def test_wrong_method_and_unknown_host_return_json_errors(client: Client) -> None:
    response = client.delete("/api/auth/me")
    assert error_code(response, 405) == "method_not_allowed"
    assert response["Allow"] == "GET"
    assert error_code(client.get("/api/health", headers={"host": "elsewhere.example"}), 400) == "bad_request"


def test_responses_are_not_cached(client: Client, owner: User) -> None:
    for response in (client.get("/api/auth/me", headers=bearer(owner)), client.get("/api/auth/me")):
        assert "no-store" in response["Cache-Control"]


def test_unexpected_error_is_logged_and_not_sent_to_client(
    client: Client, owner: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A limit that is not a number raises an error.
    monkeypatch.setattr(settings, "API_REQUESTS_PER_MINUTE", "secret words")
    response = client.get("/api/auth/me", headers=bearer(owner))
    assert error_code(response, 500) == "server_error"
    assert "secret words" not in response.content.decode()
    assert "secret words" in caplog.text


def test_every_operation_has_unique_id_for_generated_clients() -> None:
    by_id = operations()
    assert all(name.isidentifier() and name == name.lower() for name in by_id)
    named = [op["operationId"] for path in api.get_openapi_schema()["paths"].values() for op in path.values()]
    assert sorted(named) == sorted(by_id)


def test_every_operation_requires_a_scope() -> None:
    for name, operation in operations().items():
        security = operation["security"]
        assert isinstance(security, list)
        assert any(way.get("bearer") for way in security) or name in WITHOUT_SCOPE, name


def test_openapi_document_is_public_and_lists_error_responses(client: Client) -> None:
    document = json.loads(client.get("/api/openapi.json").content)
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == settings.VERSION
    me = document["paths"]["/api/auth/me"]["get"]
    assert set(me["responses"]) == {"200", "401", "403", "429", "500"}
    assert me["security"] == [{"bearer": []}, {"cookie": []}]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie", "csrf"}
    assert document["components"]["schemas"]["Problem"]["required"] == ["code", "detail"]


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(json.dumps(api.get_openapi_schema(), cls=DjangoJSONEncoder))


def test_openapi_document_is_valid(document: Any) -> None:
    validate(document)


def test_openapi_document_does_not_allow_refused_values(document: Any) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                assert "anyOf" not in content["schema"], path  # null is no object
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["schema"].get("format") != "uuid":
                    assert parameter["schema"]["minLength"] == 1, path
    assert document["components"]["schemas"]["ThreadChange"]["minProperties"] == 1


def test_optional_fields_and_parameters_have_no_default() -> None:
    schemas = api.get_openapi_schema()["components"]["schemas"]
    changes = schemas["TaskChanges"]["properties"] | schemas["ThreadChange"]["properties"]
    assert not [name for name, field in changes.items() if "default" in field]
    parameters = [each for operation in operations().values() for each in parameters_of(operation)]
    assert not [each["name"] for each in parameters if each["in"] == "header" and "default" in each["schema"]]
    assert not [each["name"] for each in parameters if each["schema"].get("default") == ""]


def parameters_of(operation: dict[str, object]) -> list[dict[str, Any]]:
    found = operation["parameters"]
    assert isinstance(found, list)
    return found


def test_unknown_field_or_parameter_is_refused_by_name(client: Client, owner: User) -> None:
    response = client.post(
        "/api/tasks", {"title": "Buy milk", "prio": "high"}, "application/json", headers=bearer(owner)
    )
    assert error_code(response, 422) == "invalid"
    assert response.json()["error"]["fields"] == {"prio": "There is no such field"}
    response = client.get("/api/tasks?state=pending&limit=5", headers=bearer(owner))
    assert error_code(response, 422) == "invalid"
    assert response.json()["error"]["fields"] == {"state": "There is no such parameter"}
    assert error_code(client.get("/api/tasks?state=pending"), 401) == "not_signed_in"


def test_unknown_parameter_gets_documented_status(client: Client, owner: User, document: Any) -> None:
    plain = {path: each["get"] for path, each in document["paths"].items() if "get" in each and "{" not in path}
    statuses = {path: client.get(f"{path}?zzz=1", headers=bearer(owner)).status_code for path in plain}
    assert statuses
    assert {path: status for path, status in statuses.items() if str(status) not in plain[path]["responses"]} == {}


def test_every_body_and_response_has_a_valid_example(document: Any) -> None:
    shapes = {"components": document["components"]}
    for path in document["paths"].values():
        for operation in path.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (body["content"] for body in bodies if "content" in body):
                for kind, media_type in content.items():
                    if kind == "application/json":
                        Draft202012Validator(media_type["schema"] | shapes).validate(media_type["example"])


def test_every_stream_event_is_documented() -> None:
    schemas = api.get_openapi_schema()["components"]["schemas"]
    kinds = set(schemas["TurnEvent"]["discriminator"]["mapping"])
    assert kinds == {"message_start", "content_delta", "approval_requested", "message_end", "error"}
    assert {"not_found", "invalid", "rate_limited"} <= set(schemas["Problem"]["properties"]["code"]["enum"])


def test_docs_page_uses_no_other_host(client: Client) -> None:
    response = client.get("/api/docs")
    page = response.content.decode()
    assert response.status_code == 200
    assert "unsafe" not in response["Content-Security-Policy"]
    assert "//" not in page.replace("</", "").replace("/>", "")
