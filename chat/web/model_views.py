"""The choice of the model that answers in a chat."""

import uuid

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache

from chat.conversations import services as conversations
from chat.exceptions import BadInput, Conflict, NotFound, ThreadkeeperError
from chat.web.views import UserRequest

STATUS = {BadInput: 400, NotFound: 404, Conflict: 409}


@login_required
@never_cache
def choose(request: UserRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Change the model of a user's chat, and return the chat."""
    if request.method != "POST":  # redirected here after signing in
        return redirect("conversation", conversation_id)
    try:
        line = conversations.change(
            user_id=request.user.pk, conversation_id=conversation_id, model=request.POST.get("model", "")
        )
    except ThreadkeeperError as error:
        status = next((STATUS[kind] for kind in STATUS if isinstance(error, kind)), 400)
        return JsonResponse({"error": {"code": error.code, "detail": error.detail}}, status=status)
    return JsonResponse({"conversation": line.as_json()})
