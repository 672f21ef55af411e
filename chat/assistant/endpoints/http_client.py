"""The HTTP client of model endpoints: it follows no redirects and limits the size of responses."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2 as httpx
from openai import DefaultAsyncHttpxClient

from chat.assistant.endpoints.failures import TOO_LONG, BrokenStream

LONGEST_ERROR = 64 * 2**10  # bytes of an error that are read
LONGEST_RESPONSE = 64 * 2**20  # bytes
# An event of a stream ends with a blank line; the last one of the Responses API repeats the whole answer.
LONGEST_EVENT = 8 * 2**20
BLANK_LINES = (b"\n\n", b"\r\n\r\n")


class EndpointClient(DefaultAsyncHttpxClient):
    """Sends requests only to the endpoint: a redirect would send a conversation to another host.

    Responses are requested without compression, so that the bytes received are the bytes counted.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, follow_redirects=False, headers={"Accept-Encoding": "identity"})

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request. Reading the response raises ModelFailed beyond the limits, BrokenStream if it is compressed.

        Raise what httpx raises.
        """
        response = await super().send(request, stream=True, **options)
        response.stream = _Bounded(response)
        if not stream:
            await response.aread()
        return response


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)  # the client is asynchronous
        self._stream = response.stream
        self._is_error = response.is_error
        self._is_compressed = response.headers.get("content-encoding", "identity") != "identity"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._is_compressed:
            raise BrokenStream("compressed")
        total = in_event = 0
        async for chunk in self._stream:
            end = max(chunk.rfind(blank) for blank in BLANK_LINES)
            if self._is_error and total + len(chunk) > LONGEST_ERROR:
                yield chunk[: LONGEST_ERROR - total]
                return
            total += len(chunk)
            in_event = in_event + len(chunk) if end < 0 else len(chunk) - end
            if total > LONGEST_RESPONSE or in_event > LONGEST_EVENT:
                raise TOO_LONG.failure()
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
