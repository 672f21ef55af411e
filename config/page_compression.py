"""Compress pages. Static files are compressed when they are collected; the API and streams are not compressed."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

GetResponse = Callable[[HttpRequest], HttpResponseBase]

UNCOMPRESSED = ("/api/", "/static/")


def compress_pages(get_response: GetResponse) -> GetResponse:
    """Compress HTML, and the state that a page reloads.

    The length of a compressed page reveals no secret (BREACH): each response masks CSRF tokens differently, cookies are
    in no body, and Django adds up to 100 random bytes. Responses of the API may hold a token next to content from
    the client.
    """
    gzip = GZipMiddleware(get_response)

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.streaming or request.path_info.startswith(UNCOMPRESSED) or not _is_page(request, response):
            return response
        return gzip.process_response(request, response)

    return answer


def _is_page(request: HttpRequest, response: HttpResponseBase) -> bool:
    kind = response.headers.get("Content-Type", "")
    return kind.startswith("text/html") or (kind == "application/json" and request.path.endswith("/state/"))
