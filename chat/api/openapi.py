"""The API's description of itself: what ninja writes, and what holds for all operations alike."""

from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.params.models import BodyModel, QueryModel

from chat.api.auth import SignedIn, address_of
from chat.api.errors import STATUS_ERRORS, error_codes, reply_to
from chat.api.events import TurnEvent
from chat.api.examples import example_of
from chat.api.schemas import ErrorReply
from chat.exceptions import RateLimited
from chat.infra.throttle import by_address

ERROR = {"$ref": "#/components/schemas/ErrorReply"}
EVENT_STREAM = "text/event-stream"
TURN_EVENT = {"$ref": "#/components/schemas/TurnEvent"}
SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the settings page, of `POST /api/auth/tokens`, or of a sign-in.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": settings.SESSION_COOKIE_NAME,
        "description": "The login of the pages. What changes something needs `csrf` too.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRFToken",
        "description": f"The value of the cookie `{settings.CSRF_COOKIE_NAME}`, beside a login's cookie.",
    },
}


class Description(OpenAPISchema):
    """Adds to each operation who may call it, how it fails, and examples."""

    def __init__(self, api: NinjaAPI, path_prefix: str) -> None:
        super().__init__(api, path_prefix)
        used = set(_references(self["paths"], self.schemas))
        for name in self.schemas.keys() - used - {"TurnEvent"}:
            del self.schemas[name]  # of parameters, which are described where they are used
        for content in _json_bodies(self["paths"]):
            if "example" not in content:
                content["example"] = example_of(content["schema"], self.schemas)

    def operation_details(self, operation: Operation) -> dict[str, Any]:
        """Describe an operation."""
        details: dict[str, Any] = super().operation_details(operation)
        responses: dict[Any, Any] = details["responses"]
        for status in _failures(operation, details):
            responses.setdefault(status, _failure(status))
        details["responses"] = {str(status): responses[status] for status in sorted(responses)}
        details.setdefault("security", [])  # public
        for parameter in details["parameters"]:
            parameter.pop("examples", None)  # the schema has them
            if parameter["schema"].get("default") in ("", None):  # stands for none; clients would send it
                parameter["schema"].pop("default", None)
        if "requestBody" in details:
            body = details["requestBody"]["content"]["application/json"]
            body["schema"].pop("default", None)
            kinds = body["schema"].get("allOf") or body["schema"].get("anyOf") or [body["schema"]]
            body["schema"] = kinds[0]  # the other kind of a body that may be left out is null, which is no object
        return details

    def responses(self, operation: Operation) -> dict[int, dict[str, Any]]:
        """Describe the failures that an operation names as all others."""
        found: dict[int, dict[str, Any]] = super().responses(operation)
        named = {status for status, reply in found.items() if ERROR in _schemas(reply)}
        return {status: _failure(status) if status in named else reply for status, reply in found.items()}

    def operation_security(self, operation: Operation) -> list[dict[str, Any]] | None:
        """Describe how an operation is authenticated: by a token with a scope, or by a login."""
        gate = next((gate for gate in operation.auth_callbacks if isinstance(gate, SignedIn)), None)
        if gate is None:
            return None
        login: dict[str, list[str]] = {"cookie": []} if operation.methods == ["GET"] else {"cookie": [], "csrf": []}
        return [{"bearer": [str(gate.scope)] if gate.scope else []}, login]

    def get_components(self) -> dict[str, Any]:
        """Add what the operations above refer to."""
        written = ErrorReply.model_json_schema(ref_template="#/components/schemas/{model}", mode="validation")
        self.schemas.update(written.pop("$defs"))
        self.schemas["ErrorReply"] = written
        self.schemas["Problem"]["properties"]["code"]["enum"] = error_codes()
        event = TurnEvent.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        self.schemas.update(event.pop("$defs"))
        self.schemas["TurnEvent"] = event
        return {"schemas": self.schemas, "securitySchemes": SCHEMES}


def with_known_parameters(run: Callable[..., Any]) -> Callable[..., Any]:
    """Set what an operation describes on each request: `check_parameters` refuses other query parameters and bodies."""
    operation: Operation = run.__self__  # type: ignore[attr-defined]
    models = [model for model in operation.models if issubclass(model, QueryModel)]
    # Of an operation that takes nothing, no failure for a parameter is described.
    takes_nothing = operation.methods == ["GET"] and not operation.models
    known = None if takes_nothing else frozenset(name for model in models for name in model.__ninja_flatten_map__)
    takes_body = operation.methods != ["POST"] or any(issubclass(model, BodyModel) for model in operation.models)

    @wraps(run)
    def run_with_parameters(request: HttpRequest, **values: Any) -> Any:
        request.known_parameters = known  # type: ignore[attr-defined]
        request.takes_body = takes_body  # type: ignore[attr-defined]
        return run(request, **values)

    return run_with_parameters


def counted(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Limit how often one address may ask for a page that is open to anybody."""

    @wraps(view)
    def counted_view(request: HttpRequest, **values: Any) -> HttpResponse:
        try:
            by_address.count(address_of(request))
        except RateLimited as error:
            return reply_to(error)
        return view(request, **values)

    return counted_view


class DescribedAPI(NinjaAPI):
    """An API that names its operations after their functions and caches its complete description."""

    def __init__(self, **options: Any) -> None:
        super().__init__(docs_decorator=counted, **options)
        self._descriptions: dict[str, OpenAPISchema] = {}

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """Call an operation by its function: generated clients make a method's name of it."""
        name: str = operation.view_func.__name__
        return name

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """Describe everything."""
        prefix = self.get_root_path(path_params or {}) if path_prefix is None else path_prefix
        if prefix not in self._descriptions:
            self._descriptions[prefix] = Description(self, prefix)
        return self._descriptions[prefix]


def _failures(operation: Operation, details: dict[str, Any]) -> list[int]:
    failures = [429, 500]
    if any(isinstance(gate, SignedIn) for gate in operation.auth_callbacks):
        failures += [401, 403]
    if "requestBody" in details or operation.methods == ["POST"]:
        failures += [400, 413, 422]
    if details["parameters"]:
        failures += [400, 422]
    if any(parameter["in"] == "path" for parameter in details["parameters"]):
        failures += [404]
    return failures


def _json_bodies(paths: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what describes a JSON body, of each request and each response."""
    for operation in (operation for path in paths.values() for operation in path.values()):
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            if "application/json" in body.get("content", {}):
                yield body["content"]["application/json"]


def _references(value: Any, schemas: dict[str, Any]) -> Iterator[str]:
    """Yield the names of the schemas that a part of the document refers to, and those that these refer to."""
    found: list[Any] = [value]
    seen: set[str] = set()
    while found:
        match found.pop():
            case dict() as entry:
                name = str(entry.get("$ref", "")).rpartition("/")[2]
                if name in schemas and name not in seen:
                    seen.add(name)
                    found.append(schemas[name])
                found += entry.values()
            case list() as entries:
                found += entries
    yield from seen


def _schemas(reply: dict[str, Any]) -> list[object]:
    return [content.get("schema") for content in reply.get("content", {}).values()]


def _failure(status: int) -> dict[str, Any]:
    code, detail = STATUS_ERRORS.get(status, ("invalid", "This cannot be used: title: it is missing."))
    example: dict[str, Any] = {"error": {"code": code, "detail": detail}}
    if status == 422:
        example["error"]["fields"] = {"title": "It is missing"}
    reply: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": ERROR, "example": example}},
    }
    if status == 429:
        seconds = {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}
        reply["headers"] = {"Retry-After": seconds}
    if status == 401:
        reply["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return reply


def events(description: str, data: dict[str, Any]) -> dict[str, Any]:
    """Describe a stream as text, for OpenAPI before 3.2 has no other way, and the data of its events."""
    return {"type": "string", "description": description, "contentMediaType": EVENT_STREAM, "contentSchema": data}
