"""What identifies a user in text: their current and former addresses in any case, and their id."""

import base64
import json
import re
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

# In JSON, a line break is a backslash and a letter.
_START = r"(?:(?<![\w.+-])|(?<=\\[nrtbf]))"
_END = r"(?![\w-]|\.\w)"
MAX_UNPACKED = 1 << 20  # bytes read of an encoded value


@dataclass(frozen=True)
class Terms:
    """A user's id and addresses. `longer` are addresses of other accounts that contain one of these."""

    person_id: uuid.UUID
    addresses: tuple[str, ...]
    longer: tuple[str, ...] = ()

    @cached_property
    def ids(self) -> tuple[str, str]:
        """The id as text, with and without hyphens."""
        return str(self.person_id), self.person_id.hex

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """The addresses in lower case, as in text, URLs and JSON."""
        return _spellings(self.addresses)

    @cached_property
    def pattern(self) -> str:
        """A regular expression for Python and PostgreSQL: an address that is not part of a longer one."""
        return rf"{_START}(?:{'|'.join(map(re.escape, self.spellings))}){_END}"

    @property
    def literals(self) -> tuple[str, ...]:
        """All of them, in the order for `counted`."""
        return (*self.spellings, *_spellings(self.longer), *self.ids)

    def counted(self, counts: list[int]) -> tuple[int, int]:
        """Return the numbers of addresses and ids, from the counts of the literals."""
        own, others = len(self.spellings), len(_spellings(self.longer))
        # A longer address was counted as the shorter one, too.
        return max(sum(counts[:own]) - sum(counts[own : own + others]), 0), sum(counts[own + others :])

    def matches(self, text: str) -> bool:
        """Return whether a text contains the user's id or an address."""
        lower = text.lower()
        return any(each in lower for each in self.ids) or bool(re.search(self.pattern, lower))

    def found_in_packed(self, value: str) -> tuple[bool, bool]:
        """Return whether a value that Django has signed, compressed or pickled contains an address, and the id."""
        data = unpacked(value)
        lower = data.lower()
        addresses, ids = self.counted([lower.count(each.encode()) for each in self.literals])
        # A UUID is pickled as an integer.
        return bool(addresses), bool(ids) or self.person_id.int.to_bytes(16, "little") in data


def unpacked(value: str) -> bytes:
    """Decode a value without unpickling it."""
    compressed = value.startswith(".")
    payload = value[compressed:].partition(":")[0].translate(str.maketrans("-_", "+/"))
    try:
        data = base64.b64decode(payload + "=" * (-len(payload) % 4))
        return zlib.decompressobj().decompress(data, MAX_UNPACKED) if compressed else data
    except (ValueError, zlib.error):
        return value.encode()


def _spellings(addresses: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for address in (each.lower() for each in addresses):
        found |= dict.fromkeys((address, json.dumps(address)[1:-1], address.replace("@", "%40")))
    return tuple(found)
