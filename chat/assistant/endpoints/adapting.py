"""A client that omits the parameters that an endpoint refuses."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import openai
from openai import AsyncStream
from openai._models import FinalRequestOptions
from openai._response import AsyncAPIResponse

from chat.assistant.endpoints.failures import NoApi
from chat.assistant.endpoints.parameters import normal, refused, without
from chat.assistant.endpoints.sdk_models import Client
from chat.assistant.model_config import ModelConfig, learned

logger = logging.getLogger(__name__)


class AdaptingClient(Client):
    """Sends a request again at once without the parameters that the endpoint refuses, and remembers them.

    Each repetition omits at least one parameter more than the request before, so the number of them is bounded.
    """

    def __init__(self, config: ModelConfig, **options: Any) -> None:
        super().__init__(**options)
        self._config = config

    async def request(self, cast_to: Any, options: FinalRequestOptions, **kwargs: Any) -> Any:
        """Send a request; repeat it while the endpoint refuses parameters. Raise what the client raises, or NoApi."""
        while True:
            omitted = self._omitted
            try:
                return await _begun(await _checked(await super().request(cast_to, options, **kwargs)))
            except openai.APIError as error:
                # Some endpoints answer 200 and refuse in the stream.
                status = error.status_code if isinstance(error, openai.APIStatusError) else 400
                names = refused(status, error.body, without(_body(options), omitted)) - omitted
                if not names:
                    raise
                learned(self._config.name).omit.update(names)
                logger.info("The endpoint of %s refuses %s: left out.", self._config.name, ", ".join(sorted(names)))

    async def _prepare_options(self, options: FinalRequestOptions) -> FinalRequestOptions:
        """Omit the refused parameters."""
        options = await super()._prepare_options(options)
        if self._omitted and options.method == "post":
            options.json_data, options.extra_json = without(_body(options), self._omitted), None
        return options

    @property
    def _omitted(self) -> frozenset[str]:
        return frozenset(map(normal, self._config.omit)) | learned(self._config.name).omit


async def _checked(response: Any) -> Any:
    """Return a response that is not an HTML page. Raise NoApi."""
    if isinstance(response, AsyncStream | AsyncAPIResponse):
        http = response.response if isinstance(response, AsyncStream) else response.http_response
        if "text/html" in http.headers.get("content-type", ""):
            await http.aclose()
            raise NoApi
    return response


async def _begun(response: Any) -> Any:
    """Return a response, or a stream after its first event. Raise APIError if the event is an error."""
    stream = await response.parse() if getattr(response, "_is_sse_stream", False) else response  # parsed once
    if not isinstance(stream, AsyncStream):
        return response
    events = stream._iterator
    first = await anext(events, None)

    async def all_events() -> AsyncIterator[Any]:
        if first is not None:
            yield first
        async for event in events:
            yield event

    stream._iterator = all_events()
    return response


def _body(options: FinalRequestOptions) -> dict[str, Any]:
    given = options.json_data if isinstance(options.json_data, dict) else {}
    return {**given, **(options.extra_json or {})}
