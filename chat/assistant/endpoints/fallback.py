"""Use another model if the first one is unavailable, before any part of its response has arrived."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from agents import Model, ModelResponse, ModelSettings

from chat.assistant.endpoints.providers import Alternative
from chat.assistant.endpoints.wrapping import Events, closed_after
from chat.assistant.model_config import learned
from chat.exceptions import ModelFailed

logger = logging.getLogger(__name__)

AWAY = 60.0  # seconds for which an unavailable model is tried last

# These arrive before the first token.
BEGINNINGS = frozenset({"response.created", "response.in_progress", "response.queued"})


class FirstAvailable(Model):
    """Tries models in order until one answers; that one answers the next request too.

    `wrapped` makes the model that is asked of an alternative, with what retries it. A response that has begun to
    arrive is never repeated by another model. `on_fallback` is called before another model is asked.
    """

    def __init__(
        self,
        alternatives: Sequence[Alternative],
        wrapped: Callable[[Model], Model],
        on_fallback: Callable[[ModelFailed], None] = lambda failure: None,
    ) -> None:
        self._left = list(alternatives)
        self._wrapped = wrapped
        self._on_fallback = on_fallback

    @property
    def name(self) -> str:
        """The name of the current model."""
        return self._left[0].name

    @property
    def current(self) -> Model:
        """The current model."""
        return self._left[0].model

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return await self._left[0].model.get_response(*args, **kwargs)

    async def stream_response(
        self, system_instructions: Any, input: Any, model_settings: ModelSettings, *args: Any, **kwargs: Any
    ) -> Events:
        while True:
            asked = self._left[0]
            has_come = False
            try:
                stream = self._wrapped(asked.model).stream_response(
                    system_instructions, input, model_settings.resolve(asked.settings), *args, **kwargs
                )
                async with closed_after(stream) as events:
                    async for event in events:
                        has_come = has_come or event.type not in BEGINNINGS
                        yield event
                return
            except ModelFailed as failure:
                if has_come or not failure.unavailable or len(self._left) == 1:
                    raise
                failed = failure
            learned(asked.name).away_until = time.monotonic() + AWAY
            self._left = self._left[1:]
            logger.warning("The model %s is unavailable; %s is asked instead.", asked.name, self.name)
            self._on_fallback(failed)
