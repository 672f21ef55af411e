"""Answer requests that exceed a limit, or for which the server is too busy."""

import math
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from chat.api.errors import reply_to
from chat.api.middleware import ROOT
from chat.exceptions import RateLimited, ServerBusy, TooManyAtOnce

Answer = Callable[[HttpRequest], HttpResponseBase]
AsyncAnswer = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class Refusals:
    """Answers 429 or 503 with Retry-After if a view exceeds a limit, or the handler has set one as `refused`."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Answer | AsyncAnswer) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if refused := getattr(request, "refused", None):
            answer = refusal(request, refused)
            return _at_once(answer) if iscoroutinefunction(self._get_response) else answer
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the response, or None for other exceptions."""
        return refusal(request, exception) if isinstance(exception, RateLimited | ServerBusy) else None


def refusal(request: HttpRequest, error: RateLimited | ServerBusy) -> HttpResponse:
    """Return the response, as JSON or as a page."""
    if request.path_info.startswith(ROOT):
        return reply_to(error)
    status = 429 if isinstance(error, RateLimited) else 503
    detail = error.detail if isinstance(error, TooManyAtOnce) else ""
    context = {
        "status": status,
        "detail": detail,
        "seconds": error.retry_after,
        "minutes": math.ceil(error.retry_after / 60),
    }
    response = render(request, "refused.html", context, status=status)
    response["Retry-After"] = str(error.retry_after)
    response["Cache-Control"] = "no-store"
    response._has_been_logged = True  # type: ignore[attr-defined]  # it is no error of the server's
    return response


async def _at_once(answer: HttpResponse) -> HttpResponse:
    return answer
