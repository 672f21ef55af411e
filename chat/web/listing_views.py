"""Pages that archive, trash, restore and delete a user's chats, and the choice of the model that answers in one."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from chat.api.errors import status_of
from chat.conversations import listing
from chat.conversations import services as conversations
from chat.conversations.services import Purged
from chat.exceptions import BadCursor, BadInput, MemoryUnavailable, NotFound, ThreadkeeperError
from chat.models.conversation import TITLE_LENGTH
from chat.read_models import ConversationOut
from chat.web.views import UserRequest, private_page

JSON = "application/json"
TRY_LATER = "This chat cannot be deleted at the moment. Please try again in a few minutes."


@dataclass(frozen=True, slots=True)
class Verb:
    """An action on a chat: its success message, and the action that undoes it."""

    do: Callable[..., ConversationOut | Purged]
    message: str
    undo: str = ""
    takes_title: bool = False


VERBS = {
    "rename": Verb(conversations.rename, "Renamed: “{}”", takes_title=True),
    "pin": Verb(conversations.pin, "Pinned: “{}”", "unpin"),
    "unpin": Verb(conversations.unpin, "Unpinned: “{}”", "pin"),
    "archive": Verb(conversations.archive, "Archived: “{}”", "unarchive"),
    "unarchive": Verb(conversations.unarchive, "Unarchived: “{}”", "archive"),
    "trash": Verb(conversations.trash, "Moved to the trash: “{}”", "restore"),
    "restore": Verb(conversations.restore, "Restored: “{}”"),
    "keep": Verb(conversations.keep, "Kept: “{}”"),
    "purge": Verb(conversations.purge, "Deleted for good: “{}”"),
}


@login_required
@never_cache
def apply_action(request: UserRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Apply an action to a user's chat; a form is redirected back, a script gets the chat."""
    if request.method != "POST":  # redirected here after signing in
        return redirect("conversation", conversation_id)
    verb = VERBS.get(request.POST.get("do", ""))
    for_script = request.headers.get("Accept") == JSON
    try:
        if verb is None:
            raise BadInput("This action is not available for a chat.")
        undo = verb.undo and _undo(request, conversation_id, verb)
        title = {"title": request.POST.get("title", "")} if verb.takes_title else {}
        done = verb.do(user_id=request.user.pk, conversation_id=conversation_id, **title)
    except ThreadkeeperError as error:
        return _refused(request, error, for_script=for_script)
    message = verb.message.format(done.title or "New chat")
    if for_script:
        chat = done.as_json() if isinstance(done, ConversationOut) else None
        return JsonResponse({"conversation": chat, "said": message, "undo": undo})
    messages.success(request, message)
    return HttpResponseRedirect(_next_page(request))


@login_required
@never_cache
def choose_model(request: UserRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Change the model of a user's chat, and return the chat."""
    if request.method != "POST":  # redirected here after signing in
        return redirect("conversation", conversation_id)
    try:
        model = request.POST.get("model", "")
        chat = conversations.change(user_id=request.user.pk, conversation_id=conversation_id, model=model)
    except ThreadkeeperError as error:
        return _refused(request, error, for_script=True)
    return JsonResponse({"conversation": chat.as_json()})


@private_page
def chats(request: UserRequest) -> HttpResponse:
    """Show the chats from a cursor on; a script gets them as JSON."""
    listed = listing.conversations_of(request.user, after=_place(request), limit=listing.PAGE_SIZE)
    if request.headers.get("Accept") == JSON:
        return JsonResponse(listed.as_json())
    return _page(request, "chats", listed=listed)


@private_page
def trash(request: UserRequest) -> HttpResponse:
    """Show the chats that will soon go to the trash, and the trash."""
    listed = listing.trash_of(request.user, after=_place(request))
    leaving = listing.leaving_of(request.user, after=_place(request, "leaving"))
    return _page(request, "trash", leaving=leaving, trash=listed)


@private_page
def archive(request: UserRequest) -> HttpResponse:
    """Show the archive."""
    return _page(request, "archive", archive=listing.archive_of(request.user, after=_place(request)))


@private_page
def delete(request: UserRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Confirm and delete a chat in the trash permanently."""
    chat = _chat(request, conversation_id)
    return _page(request, "delete", conversation=chat) if chat.trashed else redirect("conversation", conversation_id)


@private_page
def rename(request: UserRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Rename a chat, without scripts."""
    return _page(request, "rename", conversation=_chat(request, conversation_id), max_length=TITLE_LENGTH)


@login_required
@never_cache
def keep_all(request: UserRequest) -> HttpResponse:
    """Keep all chats that would soon go to the trash."""
    if request.method == "POST":
        kept = conversations.keep_all(user_id=request.user.pk)
        messages.success(request, "1 chat kept." if kept == 1 else f"{kept} chats kept.")
    return redirect("trash")


@login_required
@never_cache
def empty(request: UserRequest) -> HttpResponse:
    """Confirm and delete all chats in the trash permanently."""
    if request.method != "POST":
        listed = listing.trash_of(request.user)
        return _page(request, "empty_trash", trash=listed) if listed.total else redirect("trash")
    try:
        emptied = conversations.empty_trash(user_id=request.user.pk)
    except ThreadkeeperError as error:
        return _refused(request, error, for_script=False)
    count = len(emptied.ids)
    messages.success(request, "1 chat permanently deleted." if count == 1 else f"{count} chats permanently deleted.")
    if emptied.left:
        messages.info(request, "Chats on hold, and chats in which the assistant is working, stay in the trash.")
    return redirect("trash")


def _place(request: HttpRequest, name: str = "after") -> listing.ListCursor | None:
    """Return the cursor in a URL. Raise Http404 for an invalid one."""
    try:
        return listing.ListCursor.parse(request.GET.get(name, ""))
    except BadCursor as error:
        raise Http404(error.detail) from None


def _page(request: UserRequest, name: str, **context: object) -> HttpResponse:
    with timezone.override(request.user.zone):
        return render(
            request, f"chat/{name}.html", {"retention": listing.retention_periods(), "now": timezone.now(), **context}
        )


def _refused(request: HttpRequest, error: ThreadkeeperError, *, for_script: bool) -> HttpResponse:
    detail = TRY_LATER if isinstance(error, MemoryUnavailable) else error.detail
    if for_script:
        return JsonResponse({"error": {"code": error.code, "detail": detail}}, status=status_of(error))
    if isinstance(error, NotFound):
        raise Http404(detail)
    messages.error(request, detail)
    return HttpResponseRedirect(_next_page(request))


def _next_page(request: HttpRequest) -> str:
    """Return the page that the form names, if it is on this site."""
    page = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure())
    return page if ours else reverse("trash")


def _undo(request: UserRequest, conversation_id: uuid.UUID, verb: Verb) -> str:
    """Return the inverse of an action: archiving removes a pin, and pinning removes from the archive."""
    chat = listing.find(request.user, conversation_id)
    if chat and verb is VERBS["archive"] and chat.pinned:
        return "pin"
    if chat and verb is VERBS["pin"] and chat.archived:
        return "archive"
    return verb.undo


def _chat(request: UserRequest, conversation_id: uuid.UUID) -> ConversationOut:
    """Return a chat of the user. Raise Http404."""
    chat = listing.find(request.user, conversation_id)
    if chat is None:
        raise Http404("There is no such conversation.")
    return chat
