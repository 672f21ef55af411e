"""The HTTP API: its name, authentication, routers and error responses."""

from dataclasses import asdict

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from ninja import Schema, Status

from chat.api import accounts, chatkit, errors, models, search, tasks, threads, turns
from chat.api.auth import AnyClient, SignedIn
from chat.api.json_body import JsonParser, JsonRenderer
from chat.api.openapi import DescribedAPI, with_known_parameters
from sessions_admin import api as staff
from sessions_admin.health import health

DESCRIPTION = """\
Chat with the assistant, manage a to-do list, manage sessions.

Authenticate with `Authorization: Bearer` and a token (from the settings page or `POST /api/auth/login`), or with the
session cookie and Django's CSRF header. The scopes of a token limit what it may call. Errors are
`{"error": {"code", "detail", "fields"?}}`: 422 if a request does not match this description, 400 if it matches and
still cannot be done. Objects of other users are 404, as if they did not exist. Lists take `limit` and `after`, and
return `{items, has_more, after}`.
"""

api = DescribedAPI(
    title="Threadkeeper",
    version=settings.VERSION,
    description=DESCRIPTION,
    servers=[{"url": "/"}],
    openapi_extra={"info": {"license": {"name": "MIT", "identifier": "MIT"}}},
    urls_namespace="api",
    auth=SignedIn(),
    parser=JsonParser(),
    renderer=JsonRenderer(),
)
errors.install(api)
api.add_decorator(with_known_parameters, mode="view")
api.add_router("/auth", accounts.router)
api.add_router("/tasks", tasks.router)
api.add_router("/chatkit", chatkit.router)
api.add_router("/chatkit/threads", threads.router)
api.add_router("/chatkit/threads", turns.router)
api.add_router("/models", models.router)
api.add_router("/search", search.router)
api.add_router("/sessions", staff.sessions)
api.add_router("/cleanup-runs", staff.cleanup_runs)


class HealthReply(Schema):
    """Which parts of the installation work."""

    status: str
    database: bool
    sessions: bool
    worker: bool
    schedule: bool
    version: str


@api.get("/health", response={200: HealthReply, 503: HealthReply}, auth=AnyClient(), tags=["health"])
def get_health(request: HttpRequest) -> Status[HealthReply]:
    """Return the state of PostgreSQL, the session file, the worker and its schedule."""
    found = health()
    status = "ready" if found.ready else "not ready"
    return Status(200 if found.ready else 503, HealthReply(status=status, version=settings.VERSION, **asdict(found)))


@csrf_exempt
def unknown(request: HttpRequest) -> HttpResponse:
    """Answer 404 at every other address of the API."""
    return errors.error_reply(404)
