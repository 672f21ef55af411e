"""Read the environment strictly: an invalid value stops the start with a message that holds no secret."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

from config.exceptions import CannotStart

T = TypeVar("T")


class BadSetting(SystemExit):
    """A variable of the environment has an invalid value; only `value`, if given, is shown."""

    def __init__(self, name: str, value: str | None, reason: str) -> None:
        shown = name if value is None else f"{name}={value!r}"
        super().__init__(f"{shown} cannot be used: {reason}.")


class InvalidValue(ValueError):
    """A value is invalid; the text is the reason, without the value."""


def load_dotenv(path: Path) -> None:
    """Put the NAME=value lines of a file into the environment, unless it sets them already. Raise CannotStart."""
    if not path.is_file():
        return
    try:
        content = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise CannotStart(f"{path} cannot be read: it must be a text file in UTF-8.") from None
    except OSError as error:
        raise CannotStart(f"{path} cannot be read: {error.strerror}.") from None
    for binding in parse_stream(StringIO(content)):
        if binding.error or "\0" in binding.original.string:
            # The parser counts the blank lines before a statement as part of it.
            blank = binding.original.string[: -len(binding.original.string.lstrip()) or None].count("\n")
            raise CannotStart(
                f"Line {binding.original.line + blank} of {path} cannot be read: it must be NAME=value, "
                "and a value that begins with a quotation mark must end with it."
            )
        if binding.key and binding.value is not None:
            os.environ.setdefault(binding.key, binding.value)


def text(name: str, default: str = "") -> str:
    """Return the variable, or the default if it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def parsed(name: str, default: T, parse: Callable[[str], T], allowed: str = "", *, secret: bool = False) -> T:
    """Return the variable, parsed by a function, or the default if it is unset. Raise BadSetting.

    The function raises InvalidValue with the reason, or another ValueError or KeyError, for which `allowed` is the
    reason. A value that is or may hold a `secret` is not shown.
    """
    value = text(name)
    if not value:
        return default
    try:
        return parse(value)
    except (ValueError, KeyError) as error:
        reason = str(error) if isinstance(error, InvalidValue) else f"it must be {allowed}"
        # Anything before an @, or in a query, may be a password.
        raise BadSetting(name, None if secret or {"@", "?"} & set(value) else value, reason) from None


def whole(name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """Return the variable as an integer within bounds."""
    return parsed(
        name, default, lambda value: _within(int(value), least, most), f"a whole number from {least} to {most}"
    )


def optional_whole(name: str, *, least: int = 0, most: int = 2**31 - 1) -> int | None:
    """Return the variable as an integer within bounds, or None if it is unset."""
    return whole(name, 0, least=least, most=most) if text(name) else None


def _within(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError(number)
    return number


FLAGS = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}


def flag(name: str, *, default: bool) -> bool:
    """Return the variable as a boolean."""
    return parsed(name, default, lambda value: FLAGS[value.lower()], "one of on, off, true, false, yes, no, 1, 0")


def choice(name: str, default: str, *options: str) -> str:
    """Return the variable, which must be one of the options."""
    return parsed(
        name, default, lambda value: {option: option for option in options}[value], "one of " + ", ".join(options)
    )


def items(name: str, parse: Callable[[str], str]) -> list[str]:
    """Return the comma-separated items of the variable, each parsed by a function. Raise BadSetting."""
    return parsed(name, [], lambda value: [parse(item.strip()) for item in value.split(",") if item.strip()])


# Without these parameters a request is invalid or means something else.
REQUIRED_PARAMETERS = frozenset({"model", "messages", "input", "instructions", "tools", "stream"})
LIST_PARAMETERS = frozenset({"tools", "messages", "input"})  # their elements have parameters


def parameter(value: str) -> str:
    """Return the name of a parameter that a request does not require. Raise InvalidValue."""
    if not all(part.isidentifier() for part in value.split(".")):
        raise InvalidValue("it must be a comma-separated list of names such as store or tools.strict")
    if value in REQUIRED_PARAMETERS:
        raise InvalidValue(f"a request needs {value}")
    if "." in value and value.partition(".")[0] not in LIST_PARAMETERS:
        raise InvalidValue("a name with a dot must begin with input, messages or tools")
    return value


def api_key(value: str) -> str:
    """Return a key that is valid in a header. Raise InvalidValue."""
    if not value.isascii() or not value.isprintable():
        raise InvalidValue("a key must be one line of ASCII characters")
    return value


def metrics_token(value: str) -> str:
    """Return a token that cannot be guessed and is valid in a header. Raise InvalidValue."""
    if len(value) < 16:
        raise InvalidValue("it must have at least 16 characters")
    return api_key(value)


def url(name: str, *schemes: str) -> str:
    """Return the variable, a URL with one of the schemes, or an empty string if it is unset."""
    return parsed(name, "", lambda value: check_url(value, *schemes))


def check_url(value: str, *schemes: str) -> str:
    """Return a URL that has one of the schemes and a valid host and port. Raise InvalidValue."""
    if any(character.isspace() or not character.isprintable() for character in value):
        raise InvalidValue("it must not contain spaces or control characters")
    scheme, separator, _ = value.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise InvalidValue("it must be a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes))
    try:
        readable = urlsplit(value).port != 0
    except ValueError:
        readable = False
    if not readable:
        raise InvalidValue(
            "its host or port cannot be read; in a user name or password write : / ? # [ ] @ % as %3A and so on"
        )
    return value


def app(value: str) -> str:
    """Return the dotted path of a Django app that can be imported. Raise InvalidValue."""
    if not all(part.isidentifier() for part in value.split(".")):
        raise InvalidValue("it must be a comma-separated list of Django apps such as package.app")
    top = value.partition(".")[0]
    if find_spec(top) is None:
        raise InvalidValue(f"Python finds no module “{top}”")
    return value


def dotted(name: str) -> str:
    """Return the variable, a dotted path of Python names, or an empty string if it is unset."""
    value = text(name)
    if value and not all(part.isidentifier() for part in value.split(".")):
        raise BadSetting(name, value, "it must be a dotted path such as package.module.NAME")
    return value
