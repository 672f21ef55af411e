"""An entry of `AGENT_MODELS`."""

from typing import Any

from config.models_file import ModelEntry


def model_entry(name: str, url: str = "http://127.0.0.1:1/v1", **fields: Any) -> ModelEntry:
    """Return the entry of a model at an endpoint; by default, no server listens there."""
    entry: ModelEntry = {
        "name": name,
        "label": name.title(),
        "model": f"stub-{name}",
        "base_url": url,
        "api_key": "",
        "api": "responses",
        "context_tokens": 32_000,
        "reasoning": "auto",
        "omit": [],
        "input_price": None,
        "output_price": None,
        "fallback": [],
    }
    return {**entry, **fields}  # type: ignore[typeddict-item]
