"""The page of search results."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from chat.api.errors import status_of
from chat.conversations import listing
from chat.exceptions import ThreadkeeperError
from chat.search import services
from chat.search.query import MAX_LENGTH
from chat.web.views import UserRequest, private_page


@private_page
def search(request: UserRequest) -> HttpResponse:
    """Show the chats that match a query, the newest first."""
    query = request.GET.get("q", "")
    hits: list[services.Hit] = []
    error_detail, status = "", 200
    try:
        place = listing.ListCursor.parse(request.GET.get("after", ""))
        after = (place.time, place.id) if place else None
        hits = services.search(user_id=request.user.pk, words=query, limit=listing.PAGE_SIZE, after=after)
    except ThreadkeeperError as error:
        error_detail, status = error.detail, status_of(error)
    shown = hits[: listing.PAGE_SIZE]
    context = {
        "query": query,
        "hits": shown,
        "after": listing.ListCursor(shown[-1].updated_at, shown[-1].id) if len(hits) > len(shown) else None,
        "error": error_detail,
        "max_length": MAX_LENGTH,
    }
    with timezone.override(request.user.zone):
        return render(request, "chat/search.html", context, status=status)
