"""Search."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from chat.api.auth import SignedIn, caller
from chat.api.paging import Listed, Page, Paging, moment_cursor, page
from chat.api.schemas import Text
from chat.models.token import Scope
from chat.search import services as record

router = Router(tags=["threads"], auth=SignedIn(Scope.CHAT))

Words = Annotated[Text, Query(alias="q", min_length=1, max_length=200, examples=["groceries"])]


class SearchResult(Schema):
    """A thread in which the words are, and the newest message with them; where only the title has them, none."""

    thread_id: uuid.UUID = Field(validation_alias="id")
    title: str
    updated_at: datetime
    archived: bool
    message_id: uuid.UUID | None
    role: Literal["user", "assistant"] | None
    created_at: datetime | None = Field(validation_alias="said_at", description="The time of the message.")
    snippet: str | None = Field(description="The words and what is round them.")
    title_marks: list[tuple[int, int]] = Field(
        description="Where each match in the title begins and ends, in characters."
    )
    snippet_marks: list[tuple[int, int]] = Field(description="The same of the snippet.")


class SearchPage(Page[SearchResult]):
    """A part of a list."""


@router.get("", response=SearchPage)
def search_threads(request: HttpRequest, q: Words, paging: Query[Paging]) -> Listed[record.Hit]:
    """Find threads by messages and titles: all of the words, `"a phrase"`, `or`, `-not`. The trash is left out."""
    hits = record.search(user_id=caller(request).user.pk, words=q, limit=paging.limit, after=paging.moment)
    return page(hits, limit=paging.limit, cursor=lambda hit: moment_cursor(hit.updated_at, hit.id))
