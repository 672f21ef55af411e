"""What identifies a person in text: the addresses they use and used, in any letter case, and their id."""

import base64
import json
import re
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

# Behind a line break, JSON has a backslash and a letter.
BEGINS = r"(?:(?<![\w.+-])|(?<=\\[nrtbf]))"
ENDS = r"(?![\w-]|\.\w)"
UNPACKED = 1 << 20  # bytes that are read of a packed value


@dataclass(frozen=True)
class Terms:
    """A person's id and addresses. `longer` are addresses of other accounts that have one of these as a part."""

    person_id: uuid.UUID
    addresses: tuple[str, ...]
    longer: tuple[str, ...] = ()

    @cached_property
    def ids(self) -> tuple[str, str]:
        """The id as text, with and without hyphens."""
        return str(self.person_id), self.person_id.hex

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """The addresses as text, URLs and JSON have them, in lower case."""
        return _spellings(self.addresses)

    @cached_property
    def pattern(self) -> str:
        """A regular expression, for Python and PostgreSQL, of an address that is no part of a longer one."""
        return rf"{BEGINS}(?:{'|'.join(map(re.escape, self.spellings))}){ENDS}"

    @property
    def literals(self) -> tuple[str, ...]:
        """All of them, to be counted by `counted`."""
        return (*self.spellings, *_spellings(self.longer), *self.ids)

    def counted(self, counts: list[int]) -> tuple[int, int]:
        """Return how many addresses and ids were found, from counts of the literals in their order."""
        own, others = len(self.spellings), len(_spellings(self.longer))
        # A longer address was counted as the shorter one in it, too.
        return max(sum(counts[:own]) - sum(counts[own : own + others]), 0), sum(counts[own + others :])

    def named_in(self, text: str) -> bool:
        """Return whether a text contains the user's id or an address."""
        lower = text.lower()
        return any(each in lower for each in self.ids) or bool(re.search(self.pattern, lower))

    def found_in_packed(self, value: str) -> tuple[bool, bool]:
        """Return whether a value that Django has signed, compressed or pickled contains the id or an address."""
        data = unpacked(value)
        lower = data.lower()
        addresses, ids = self.counted([lower.count(each.encode()) for each in self.literals])
        # A UUID is pickled as a number.
        return bool(addresses), bool(ids) or self.person_id.int.to_bytes(16, "little") in data


def unpacked(value: str) -> bytes:
    """Return the bytes of a packed value, without loading any object from it."""
    compressed = value.startswith(".")
    payload = value[compressed:].partition(":")[0].translate(str.maketrans("-_", "+/"))
    try:
        data = base64.b64decode(payload + "=" * (-len(payload) % 4))
        return zlib.decompressobj().decompress(data, UNPACKED) if compressed else data
    except (ValueError, zlib.error):
        return value.encode()


def _spellings(addresses: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for address in (each.lower() for each in addresses):
        found |= dict.fromkeys((address, json.dumps(address)[1:-1], address.replace("@", "%40")))
    return tuple(found)
