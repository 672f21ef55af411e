"""Read the answer of an endpoint that sends one JSON document where a stream was requested."""

import codecs
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
from openai._streaming import ServerSentEvent, SSEDecoder

from chat.assistant.endpoints.failures import BrokenStream, NoStream, reported_error


class Decoder(SSEDecoder):
    """Yields server-sent events; a JSON document becomes one event.

    No field of a stream begins with a bracket, so that the document is recognised whatever its content type. Raise
    APIStatusError for an error in it, NoStream for what is neither an error nor a reply.
    """

    def __init__(self, url: httpx2.URL) -> None:
        super().__init__()
        self._url = url

    async def aiter_bytes(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
        """Yield every event of the body."""
        pieces = aiter(iterator)
        start = b""
        async for first in pieces:
            if start := first.removeprefix(codecs.BOM_UTF8).lstrip():
                break
        if start.startswith((b"{", b"[")):
            yield self._read_document(start + b"".join([piece async for piece in pieces]))
            return
        async for event in super().aiter_bytes(_chained(start, pieces)):
            yield event

    def _read_document(self, body: bytes) -> ServerSentEvent:
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            raise BrokenStream from None
        if isinstance(data, list) and len(data) == 1:  # as Gemini sends errors
            data = data[0]
        if not isinstance(data, Mapping):
            raise NoStream
        if data.get("error"):
            raise reported_error(data, httpx2.Request("POST", self._url))
        return ServerSentEvent(data=json.dumps(_as_event(data)))


def _as_event(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a completion as it is, and a response as the event that ends its stream. Raise NoStream."""
    if isinstance(data.get("choices"), list) or isinstance(data.get("response"), Mapping):
        return data
    if not isinstance(data.get("output"), list):
        raise NoStream
    status = data.get("status")
    end = status if status in ("failed", "incomplete") else "completed"
    return {"type": f"response.{end}", "sequence_number": 0, "response": data}


async def _chained(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in others:
        yield piece
