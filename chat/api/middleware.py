"""Give every reply under /api/ the same form, even if no operation made it: JSON, which no cache stores."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from chat.api.errors import error_reply

ROOT = "/api/"

Answer = Callable[[HttpRequest], HttpResponseBase]
AsyncAnswer = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def api_replies(get_response: Answer | AsyncAnswer) -> Answer | AsyncAnswer:
    """Word errors of Django's own (an unknown host, a method that is not there) as the API words its own."""
    if iscoroutinefunction(get_response):

        async def answer_later(request: HttpRequest) -> HttpResponseBase:
            return worded(request, await cast(AsyncAnswer, get_response)(request))

        return answer_later

    def answer(request: HttpRequest) -> HttpResponseBase:
        return worded(request, cast(Answer, get_response)(request))

    return answer


def worded(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return an answer as programs are to get it."""
    if not request.path_info.startswith(ROOT):
        return response
    if response.status_code >= 400 and not response.headers.get("Content-Type", "").startswith("application/json"):
        reply = error_reply(response.status_code)
        for name in ("Allow", "Content-Security-Policy"):
            if name in response.headers:
                reply[name] = response.headers[name]
        response = reply
    response.headers.setdefault("Cache-Control", "no-store")
    return response
