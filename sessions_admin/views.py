"""Pages about a user's own data: staff access, export, and deletion of the account."""

from collections.abc import AsyncIterator
from tempfile import TemporaryFile
from typing import IO

from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from chat.exceptions import NotFound, RateLimited, ThreadkeeperError
from chat.models import User
from chat.web.forms import OwnPasswordForm
from chat.web.views import UserRequest
from sessions_admin import audit
from sessions_admin.audit import user_actor
from sessions_admin.people.erase import erase_person
from sessions_admin.people.export import export_person

CHUNK = 256 * 1024  # bytes
MAX_ACCESSES = 100
SEARCH_SECONDS = 10  # the time limit of an erasure's search
OWN_REQUEST = "The user deleted their own account."


@login_required
@never_cache
def data(request: UserRequest) -> HttpResponse:
    """Show who inspected the user's chats, and offer export and erasure."""
    return _data_page(request, OwnPasswordForm(request=request))


@login_required
@never_cache
def export(request: UserRequest) -> HttpResponseBase:
    """Send the user a file with everything about them."""
    if request.method != "POST":  # redirected here after signing in
        return redirect("data")
    try:
        return export_response(request, request.user, actor=user_actor(request.user))
    except ThreadkeeperError as error:
        status = 429 if isinstance(error, RateLimited) else 503
        return _data_page(request, OwnPasswordForm(request=request), error=error.detail, status=status)


@sensitive_post_parameters()
@login_required
@never_cache
def delete_account(request: UserRequest) -> HttpResponse:
    """Erase the user's own account, and confirm it."""
    if request.method != "POST":  # redirected here after signing in
        return redirect("data")
    form = OwnPasswordForm(request.POST, request=request)
    if not form.is_valid():
        return _data_page(request, form, status=422)
    try:
        actor = user_actor(request.user)
        report = erase_person(request.user.pk, actor=actor, reason=OWN_REQUEST, seconds=SEARCH_SECONDS)
    except NotFound:  # another request has erased the account meanwhile
        held, pending = 0, False
    except ThreadkeeperError as error:
        return _data_page(request, form, error=error.detail, status=409)
    else:
        held, pending = report.held_conversations, report.pending
    logout(request)
    return render(request, "accounts/goodbye.html", {"held": held, "pending": pending})


def _data_page(request: UserRequest, form: OwnPasswordForm, *, error: str = "", status: int = 200) -> HttpResponse:
    accesses = audit.staff_accesses(request.user.pk, limit=MAX_ACCESSES)
    with timezone.override(request.user.zone):
        context = {"accesses": accesses, "form": form, "error": error, "max_accesses": MAX_ACCESSES}
        return render(request, "accounts/data.html", context, status=status)


# Shared with the admin.


def export_response(request: HttpRequest, person: User, *, actor: str, reason: str = "") -> HttpResponseBase:
    """Export everything about a user, and stream the file. Raise as `export_person` does."""
    file = TemporaryFile()  # noqa: SIM115 - closed with the response
    try:
        export_person(person.pk, to=file, actor=actor, reason=reason)
    except BaseException:
        file.close()
        raise
    size = file.seek(0, 2)
    file.seek(0)
    name = f"threadkeeper {slugify(person.email.partition('@')[0])} {timezone.now():%Y-%m-%d}.zip"
    if not isinstance(request, ASGIRequest):
        return FileResponse(file, as_attachment=True, filename=name)
    # Django would read the whole file into memory here.
    response = StreamingHttpResponse(_pieces(file), content_type="application/zip")
    response["Content-Length"] = str(size)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while piece := file.read(CHUNK):
            yield piece
