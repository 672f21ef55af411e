"""What an endpoint requires of input items, by configuration or learned from its refusals."""

import logging

from openai import APIStatusError

from chat.assistant.endpoints.failures import READ
from chat.assistant.model_config import Learned, ModelConfig, learned

logger = logging.getLogger(__name__)

# In lower case, what endpoints write when a request lacks the reasoning of earlier responses: DeepSeek, Kimi, and the
# Responses API. All words of a line are there.
_LACKS_REASONING = (
    ("reasoning_content", "missing"),
    ("reasoning_content", "must be passed back"),
    ("thinking", "must be passed back"),
    ("without its required 'reasoning' item",),
)
# And when they refuse an id that they gave a call: OpenAI, Mistral, Anthropic and Bedrock behind a gateway.
_REFUSES_ID = (
    ("call_id'", "too long"),
    ("tool_calls[", ".id'", "too long"),
    ("tool call id", "length of 9"),
    ("tool_use", "id", "pattern"),
    ("tooluseid", "pattern"),
)


class Needs:
    """The requirements of a model's endpoint; those learned from refusals are in `learned`."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config

    @property
    def _learned(self) -> Learned:
        return learned(self._config.name)

    @property
    def reasoning_returned(self) -> bool:
        """Whether all reasoning is sent back."""
        if self._config.reasoning == "auto":
            return self._learned.needs_reasoning
        return self._config.reasoning == "return"

    @property
    def reasoning_omitted(self) -> bool:
        """Whether no reasoning is sent back, encrypted or not."""
        return self._config.reasoning == "omit"

    @property
    def own_ids(self) -> bool:
        """Whether the endpoint gets its own call ids back."""
        return not self._learned.refuses_own_ids

    @property
    def known(self) -> tuple[bool, bool]:
        """All learned requirements; a request is repeated when they have changed."""
        return self.reasoning_returned, self.own_ids

    def learn(self, error: APIStatusError) -> None:
        """Learn from a refusal."""
        if error.status_code not in (400, 422):
            return
        text = f"{error.message} {error.body}"[:READ].lower()
        if _matches(text, _LACKS_REASONING) and not self._learned.needs_reasoning:
            self._learned.needs_reasoning = True
            logger.info("The model %s requires the reasoning of earlier responses.", self._config.name)
        if _matches(text, _REFUSES_ID) and self.own_ids:
            self._learned.refuses_own_ids = True
            logger.info("The model %s refuses ids that it gave to calls.", self._config.name)


def _matches(text: str, lines: tuple[tuple[str, ...], ...]) -> bool:
    return any(all(word in text for word in words) for words in lines)
