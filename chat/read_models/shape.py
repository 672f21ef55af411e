"""The JSON form that all shapes share."""

import uuid
from collections.abc import Callable
from datetime import date, time
from typing import Any, ClassVar, Self


class Shape:
    """A frozen dataclass of what is shown of a row; its JSON form has the attributes that `JSON` names."""

    __slots__: ClassVar[tuple[str, ...]] = ()
    JSON: ClassVar[tuple[str, ...]]

    @classmethod
    def from_row(cls, row: object, **computed: object) -> Self:
        """Read the fields from a row by their names, but for those that are computed."""
        make: Callable[..., Self] = cls
        return make(**{name: getattr(row, name) for name in cls.__slots__ if name not in computed}, **computed)

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
