"""JSON values as PostgreSQL can hold them."""

import math
import re
from typing import Any

# PostgreSQL holds no NUL, and UTF-8 no half of a surrogate pair; a model may say either.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(value: Any) -> Any:
    """Return a JSON value with a mark in the place of each character that cannot be stored.

    A number that JSON does not have becomes a text.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(name): storable(part) for name, part in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return [storable(part) for part in value] if isinstance(value, list) else value
