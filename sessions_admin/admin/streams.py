"""Streamed file downloads."""

from collections.abc import AsyncIterator, Iterator

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from chat.infra.db_threads import in_database


def attachment(request: HttpRequest, pieces: Iterator[str], *, name: str, kind: str) -> StreamingHttpResponse:
    """Stream pieces of text as a file that is never cached."""
    streamed = _async_pieces(pieces) if isinstance(request, ASGIRequest) else pieces
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(streamed, content_type=f"{kind}; charset=utf-8", headers=headers)


async def _async_pieces(pieces: Iterator[str]) -> AsyncIterator[str]:
    while (piece := await in_database(next, pieces, None)) is not None:
        yield piece
