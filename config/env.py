"""Read the environment strictly: a value that cannot be parsed stops the start with a sentence."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class BadSetting(SystemExit):
    """A variable of the environment has a value that cannot be used."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: it must be {allowed}.")


def load_dotenv(path: Path) -> None:
    """Put the NAME=value lines of a file into the environment; what is already set there wins."""
    if not path.is_file():
        return
    for line in path.read_text().splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and not name.startswith("#"):
            os.environ.setdefault(name.strip(), value.strip().strip("\"'"))


def text(name: str, default: str = "") -> str:
    """Return the variable, or the default where it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def _parsed(name: str, default: T, parse: Callable[[str], T], allowed: str) -> T:
    value = text(name)
    if not value:
        return default
    try:
        return parse(value)
    except (ValueError, KeyError):
        raise BadSetting(name, value, allowed) from None


def whole(name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """Return the variable as a whole number within bounds."""
    return _parsed(
        name, default, lambda value: _within(int(value), least, most), f"a whole number from {least} to {most}"
    )


def optional_whole(name: str, *, least: int = 0) -> int | None:
    """Return the variable as a whole number, or None where it is unset."""
    return whole(name, 0, least=least) if text(name) else None


def _within(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError(number)
    return number


FLAGS = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}


def flag(name: str, *, default: bool) -> bool:
    """Return the variable as a truth value."""
    return _parsed(name, default, lambda value: FLAGS[value.lower()], "one of on, off, true, false, yes, no, 1, 0")


def choice(name: str, default: str, *options: str) -> str:
    """Return the variable, which must be one of the options."""
    return _parsed(
        name, default, lambda value: {option: option for option in options}[value], "one of " + ", ".join(options)
    )


def words(name: str, *default: str) -> list[str]:
    """Return the comma-separated words of the variable."""
    return [word.strip() for word in text(name).split(",") if word.strip()] or list(default)


def url(name: str, *schemes: str) -> str:
    """Return the variable, a URL with one of the schemes, or an empty string where it is unset."""
    value = text(name)
    if value and value.partition("://")[0] not in schemes:
        raise BadSetting(name, value, "a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes))
    return value


def dotted(name: str) -> str:
    """Return the variable, a dotted path of Python names, or an empty string where it is unset."""
    value = text(name)
    if value and not all(part.isidentifier() for part in value.split(".")):
        raise BadSetting(name, value, "a dotted path such as package.module.NAME")
    return value
