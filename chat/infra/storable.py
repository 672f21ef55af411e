"""JSON values that PostgreSQL can store."""

import math
import re
from typing import Any

# PostgreSQL stores no NUL, and UTF-8 has no lone surrogates; a model may send either.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Return whether a text can be stored unchanged."""
    return ("\0" not in text) if text.isascii() else not _UNSTORABLE.search(text)


def storable(value: Any) -> Any:
    """Return a JSON value with a replacement for each character that cannot be stored.

    The two halves of a surrogate pair become their character. A number that JSON does not support becomes a text.
    """
    if isinstance(value, str):
        return value if is_storable(value) else _storable_text(value)
    if isinstance(value, dict):
        return {storable(name): storable(part) for name, part in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return [storable(part) for part in value] if isinstance(value, list) else value


def _storable_text(text: str) -> str:
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\0", "\ufffd")
