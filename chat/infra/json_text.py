"""Parse JSON texts from outside, with the position of the first error."""

import json
import re
from typing import Any, NoReturn

from chat.exceptions import BadJson

# Skips strings; in the rest, finds what Python accepts and JSON does not.
_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<constant>-?Infinity|NaN)', re.DOTALL)


def read_json(data: bytes | str) -> Any:
    """Return the value of a JSON text. Raise BadJson."""
    try:
        text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
    except UnicodeDecodeError as error:
        raise BadJson(f"This is not text in UTF-8: the byte at offset {error.start} is invalid.") from None
    try:
        return json.loads(text.removeprefix("\ufeff"), parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        raise _error_at(error.lineno, error.colno, error.msg) from None
    except RecursionError:
        raise BadJson("This JSON is nested too deeply.") from None
    except _InvalidConstant as error:
        place = next(found.start() for found in _CONSTANT.finditer(text) if found["constant"])
        line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
        raise _error_at(line, column, str(error).rstrip(".")) from None
    except ValueError:  # Python does not convert integers of thousands of digits
        raise BadJson("This JSON has a number with too many digits.") from None


class _InvalidConstant(ValueError):
    pass


def refuse_constant(name: str) -> NoReturn:
    """Raise ValueError for what Python's parser accepts and JSON does not: a `parse_constant`."""
    raise _InvalidConstant(f"{name} is not JSON.")


def _error_at(line: int, column: int, problem: str) -> BadJson:
    return BadJson(
        f"This is not valid JSON at line {line}, column {column}: {problem.rstrip(': ').removesuffix(' at')}."
    )
