"""The JSON form that all shapes share."""

import uuid
from datetime import date, time
from typing import Any, ClassVar


class Shape:
    """A frozen dataclass; its JSON form has the attributes that `JSON` names."""

    __slots__ = ()
    JSON: ClassVar[tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: plain(getattr(self, name)) for name in self.JSON}


def plain(value: Any) -> Any:
    """Return an attribute as it stands in JSON."""
    if isinstance(value, Shape):
        return value.as_json()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, uuid.UUID) else value
