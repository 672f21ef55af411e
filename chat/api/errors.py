"""Map each exception to a status and an error body, in one place."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from chat import exceptions
from chat.infra.database_limits import is_transient, summary
from chat.infra.invalid_values import by_place, listed

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds, after a database that was too slow or unavailable

# The nearest class in an exception's line of descent counts.
STATUS: Mapping[type[Exception], int] = {
    exceptions.BadInput: 400,
    exceptions.UnknownFields: 422,
    exceptions.UnknownParameters: 422,
    exceptions.KeyReused: 422,
    exceptions.NotSignedIn: 401,
    exceptions.Forbidden: 403,
    exceptions.NotFound: 404,
    exceptions.InvalidSessionId: 404,
    exceptions.Conflict: 409,
    exceptions.TurnLost: 409,
    exceptions.RateLimited: 429,
    exceptions.ModelFailed: 502,
    exceptions.MemoryUnavailable: 503,
    exceptions.ServerBusy: 503,
    exceptions.TimedOut: 503,
    exceptions.Unavailable: 503,
}
# The detail of an error of which only the status is known.
STATUS_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "This request cannot be read."),
    401: ("not_signed_in", "Sign in, or send “Authorization: Bearer” with a token."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This URL does not support the method; the header “Allow” lists those it supports."),
    409: ("conflict", "This conflicts with the current state."),
    413: ("too_large", "This request is too large."),
    415: ("unsupported_media_type", "Send JSON, as application/json."),
    429: ("rate_limited", "There were too many requests in a short time."),
    500: ("server_error", "An internal error occurred and was logged. Please try again."),
    503: ("unavailable", "The service is temporarily unavailable. Please try again."),
}


def error_codes() -> list[str]:
    """Return the codes of all failures."""
    kinds: list[type[exceptions.ThreadkeeperError]] = [exceptions.ThreadkeeperError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    of_ours = {kind.code for kind in kinds if not kind.__module__.partition(".tests")[1]}
    return sorted(of_ours | {code for code, _ in STATUS_ERRORS.values()} | {"invalid"})


def error_reply(
    status: int, code: str = "", detail: str = "", *, fields: Mapping[str, str] | None = None
) -> HttpResponse:
    """Make the answer to a request that failed."""
    known_code, known_detail = STATUS_ERRORS.get(status, STATUS_ERRORS[500 if status >= 500 else 400])
    error: dict[str, object] = {"code": code or known_code, "detail": detail or known_detail}
    if fields:
        error["fields"] = dict(fields)
    reply = JsonResponse({"error": error}, status=status)
    if status == 401:
        reply["WWW-Authenticate"] = "Bearer"
    if status < 500:
        # It is no error of the server's: Django would log one each time.
        reply._has_been_logged = True  # type: ignore[attr-defined]
    return reply


def status_of(error: exceptions.ThreadkeeperError) -> int:
    """Return the status of a failure of ours."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def reply_to(error: Exception) -> HttpResponse:
    """Return the reply for any exception. An unexpected one is logged, and its text is not sent."""
    match error:
        case exceptions.ThreadkeeperError() if (status := status_of(error)) != 500:
            fields: Mapping[str, str] | None = getattr(error, "fields", None)
            reply = error_reply(status, error.code, error.detail, fields=fields)
            if isinstance(error, exceptions.RateLimited | exceptions.ServerBusy):
                reply["Retry-After"] = str(error.retry_after)
            return reply
        case ValidationError():
            fields = fields_of(error.errors)
            return error_reply(422, "invalid", f"This cannot be used: {listed(fields)}.", fields=fields)
        case RequestDataTooBig():
            return error_reply(413)
        case HttpError(__cause__=exceptions.BadJson() as cause):
            return reply_to(cause)
        case HttpError():
            return error_reply(error.status_code)
        case Http404():
            return error_reply(404)
        case PermissionDenied():
            return error_reply(403)
        case SuspiciousOperation():
            return error_reply(400)
        case DatabaseError() | InterfaceError() if is_transient(error):
            logger.warning("The database failed during a request of a program: %s", summary(error))
            reply = error_reply(503)
            reply["Retry-After"] = str(RETRY_AFTER)
            reply._has_been_logged = True  # type: ignore[attr-defined]
            return reply
    logger.error("A request of a program failed.", exc_info=error)
    return error_reply(500)


def fields_of(errors: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return for each field of the request what is wrong with it."""
    return by_place((_place(*error["loc"]), error) for error in errors)


def _place(source: str, *place: object) -> Sequence[object]:
    if source == "body":
        return place[1:] or ["body"]  # without the name that the function has for the whole of it
    return place or [source]


def install(api: NinjaAPI) -> None:
    """Let an API answer all failures in this way."""

    def handle(request: HttpRequest, error: Any) -> HttpResponse:
        return reply_to(error)

    for kind in (Exception, Http404, HttpError, ValidationError):
        api.add_exception_handler(kind, handle)
