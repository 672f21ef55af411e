"""Refuse NUL characters in requests: PostgreSQL cannot store them, and no valid path, form or cookie has one."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import BadRequest
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict

NUL = "\0"

Handler = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class RefuseNulMiddleware:
    """Answers 400 if the path, the query string, a cookie or a form field has a NUL."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.process_view = self._check_form
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
            self.process_view = self._check_form_later  # type: ignore[assignment]  # saves a hop to a thread

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        _check_texts([request.path_info, *_names_and_values(request.GET), *request.COOKIES.values()])
        return self.get_response(request)

    def _check_form(self, request: HttpRequest, view: Callable[..., Any], args: object, kwargs: object) -> None:
        # Views of the API and MCP read the body themselves.
        if request.method == "POST" and not getattr(view, "csrf_exempt", False):
            _check_texts(_names_and_values(_form_of(request)))

    async def _check_form_later(
        self, request: HttpRequest, view: Callable[..., Any], args: object, kwargs: object
    ) -> None:
        self._check_form(request, view, args, kwargs)


def _form_of(request: HttpRequest) -> QueryDict:
    try:
        return request.POST
    except BadRequest:
        # The error view must not fail on the same form.
        request._post, request._files = QueryDict(), MultiValueDict()  # type: ignore[attr-defined]
        raise


def _names_and_values(fields: Any) -> Iterable[str]:
    for name, values in fields.lists():
        yield name
        yield from values


def _check_texts(texts: Iterable[str]) -> None:
    if any(NUL in text for text in texts):
        raise BadRequest("A NUL character is not accepted.")
