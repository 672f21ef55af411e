"""The MCP server at `/mcp`: authentication and limits, before the body is read."""

import json
from collections.abc import Mapping

from django.db import DatabaseError
from starlette.types import Message, Receive, Scope, Send

from chat.accounts import tokens
from chat.api.errors import STATUS_ERRORS
from chat.exceptions import Forbidden, NotSignedIn, RateLimited, ThreadkeeperError, TooManyAtOnce, Unavailable
from chat.infra.client_address import client_address, limit_key
from chat.infra.database_limits import is_transient
from chat.infra.db_threads import in_database
from chat.infra.limits import requests_by_person
from chat.infra.request_origin import header, is_allowed_host, is_same_origin
from chat.infra.throttle import by_address, by_person
from chat.mcp import messages, service
from chat.mcp.calls import acting_for
from chat.models import ApiToken
from chat.models.token import Scope as TokenScope

PATHS = ("/mcp", "/mcp/")
NO_TOKEN = "Send “Authorization: Bearer” with a token that has the scope “tasks”."  # noqa: S105 - a sentence


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request to `/mcp`."""
    try:
        token = await _token(scope)
    except ThreadkeeperError as error:
        await _refuse(send, error)
        return
    except DatabaseError as error:
        if not is_transient(error):
            raise
        await _reply_error(send, 503, detail=Unavailable().detail, headers={"retry-after": "5"})
        return
    if not is_allowed_host(scope):
        detail = "This server is not configured for that host name."
        await _reply_error(send, 421, code="bad_request", detail=detail)  # the code of an unknown host elsewhere
    elif header(scope, b"origin") and not is_same_origin(scope):
        await _reply_error(send, 403, detail="Requests from pages of other sites are not allowed.")
    elif scope["method"] != "POST":
        # There are no sessions to listen to, or to end.
        await _reply_error(send, 405, detail="This address takes POST only.", headers={"allow": "POST"})
    elif (answers := service.current()) is None:
        detail = "The server is stopping; please try again."
        await _reply_error(send, 503, detail=detail, headers={"retry-after": "1"})
    else:
        acting_for.set(token.user_id)
        in_events = prefers_events(header(scope, b"accept"))
        try:
            async with requests_by_person.turn(str(token.user_id)):
                body, receive = await messages.read(receive, most=service.MAX_BYTES)
                if body is not None:
                    messages.check(body)
                await answers.answer(scope, receive, _set_private(send), in_events=in_events)
        except messages.BadMessage as error:
            await _reply(send, 400, error.body(), {})
        except TooManyAtOnce as error:
            await _refuse(send, error)


async def _token(scope: Scope) -> ApiToken:
    """Return the token of a request. Raise NotSignedIn, Forbidden, RateLimited."""
    key = tokens.bearer_of(header(scope, b"authorization"))
    try:
        if not key:
            raise NotSignedIn(NO_TOKEN)
        token = await in_database(tokens.find, key)
    except NotSignedIn:
        await by_address.count_async(limit_key(client_address(scope)))
        raise
    await by_person.count_async(str(token.user_id))
    if TokenScope.TASKS not in token.scopes:
        raise Forbidden(f"This token lacks the scope “{TokenScope.TASKS}”.")
    return token


def _status_of(error: ThreadkeeperError) -> tuple[int, Mapping[str, str]]:
    match error:
        case RateLimited():
            return 429, {"retry-after": str(error.retry_after)}
        case Forbidden():
            return 403, {"www-authenticate": 'Bearer error="insufficient_scope", scope="tasks"'}
    asked_with_none = error.detail == NO_TOKEN
    return 401, {"www-authenticate": 'Bearer scope="tasks"' + ("" if asked_with_none else ', error="invalid_token"')}


def prefers_events(accept: str) -> bool:
    """Return whether a client prefers an event stream to JSON: by weight, then by order."""
    weights = {"application/json": 0.0, "text/event-stream": 0.0}
    first = ""
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        if kind in weights:
            weights[kind] = next((_weight(word[2:]) for word in parameters if word.startswith("q=")), 1.0)
            first = first or kind
    json_weight, events_weight = weights.values()
    return events_weight > json_weight or (events_weight == json_weight > 0 and first == "text/event-stream")


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _set_private(send: Send) -> Send:
    """Mark every response as private to its client."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", [])}
            if b"cache-control" not in names:
                message = {**message, "headers": [*message.get("headers", []), (b"cache-control", b"no-store")]}
        await send(message)

    return sending


async def _refuse(send: Send, error: ThreadkeeperError) -> None:
    status, headers = _status_of(error)
    await _reply_error(send, status, code=error.code, detail=error.detail, headers=headers)


async def _reply_error(
    send: Send, status: int, *, detail: str, code: str = "", headers: Mapping[str, str] | None = None
) -> None:
    error = {"code": code or STATUS_ERRORS[status][0], "detail": detail}
    await _reply(send, status, json.dumps({"error": error}).encode(), headers or {})


async def _reply(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
