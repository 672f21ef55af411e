"""Read AGENT_MODELS: a TOML file that lists models, the default first."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict, cast

from config import env
from config.exceptions import CannotStart

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_LABEL_LENGTH = 60
MAX_MODELS = 50
MAX_TOKENS = 2**31 - 1


class ModelEntry(TypedDict):
    """One model with all its values; missing keys have their defaults. Prices are per million tokens."""

    name: str
    label: str
    model: str
    base_url: str
    api_key: str
    api: str
    context_tokens: int
    reasoning: str
    omit: list[str]
    input_price: Decimal | None
    output_price: Decimal | None
    fallback: list[str]


@dataclass(frozen=True, slots=True)
class ModelsFile:
    """The models of a file, and the currency of their prices."""

    models: tuple[ModelEntry, ...] = ()
    currency: str = "USD"


class _Invalid(ValueError):
    """A value is invalid; the text names the key and the reason, without the value."""


def read_models(path: Path, *, context_tokens: int) -> ModelsFile:
    """Read and check a file. Raise CannotStart with the file's name and the position, without any value."""
    try:
        content = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
        return _read_file(content, context_tokens)
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        reason = "it must be a text file in UTF-8"
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line \d+", str(error))
        reason = f"{place.group() if place else 'its end'} is not TOML"
    except _Invalid as error:
        reason = str(error)
    raise CannotStart(f"AGENT_MODELS, {path}: {reason}.") from None


def _read_file(content: Mapping[str, Any], context_tokens: int) -> ModelsFile:
    _check_keys(content, {"models", "currency"}, "")
    currency = content.get("currency", "USD")
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        raise _Invalid("currency must be three capital letters such as USD")
    tables = content.get("models")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise _Invalid("it must have at least one [[models]] table")
    if len(tables) > MAX_MODELS:
        raise _Invalid(f"it has more than {MAX_MODELS} models")
    models = tuple(_read_model(table, place, context_tokens) for place, table in enumerate(tables, start=1))
    names = [model["name"] for model in models]
    for place, model in enumerate(models, start=1):
        if model["name"] in names[: place - 1]:
            raise _Invalid(f"{_describe_place(place, model)}: the name is used by an earlier model")
        if model["name"] in model["fallback"] or not set(model["fallback"]) <= set(names):
            raise _Invalid(f"{_describe_place(place, model)}: fallback must list names of other models in this file")
    return ModelsFile(models, currency)


def _describe_place(place: int, table: Mapping[str, Any]) -> str:
    name = table.get("name")
    return f"model {place}" + (f" ({name})" if isinstance(name, str) and NAME.fullmatch(name) else "")


def _read_model(table: Mapping[str, Any], place: int, context_tokens: int) -> ModelEntry:
    where = _describe_place(place, table)
    _check_keys(table, {*_READERS, "api_key_env"}, f"{where}: ")
    values: dict[str, Any] = {"context_tokens": context_tokens} | _DEFAULTS
    for key, (read, allowed) in _READERS.items():
        if key not in table:
            continue
        try:
            values[key] = read(table[key])
        except env.InvalidValue as error:
            raise _Invalid(f"{where}: {key}: {error}") from None
        except (ValueError, TypeError):
            raise _Invalid(f"{where}: {key} must be {allowed}") from None
    if "name" not in table:
        raise _Invalid(f"{where}: name is missing")
    if ("input_price" in table) != ("output_price" in table):
        raise _Invalid(f"{where}: input_price and output_price must be given together")
    key = _api_key(table, where)
    if not key and not values["base_url"]:
        raise _Invalid(f"{where}: api_key_env is missing; without a base_url the model is OpenAI's, which needs a key")
    own = {"label": table["name"], "model": table["name"], "api_key": key}
    return cast(ModelEntry, own | values)  # each key with its parser and its default


def _api_key(table: Mapping[str, Any], where: str) -> str:
    name = table.get("api_key_env")
    if name is None:
        return ""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise _Invalid(f"{where}: api_key_env must be the name of a variable, not the key itself")
    key = env.text(name)
    if not key:
        raise _Invalid(f"{where}: the variable {name}, which api_key_env names, is not set")
    try:
        return env.api_key(key)
    except env.InvalidValue as error:
        raise _Invalid(f"{where}: the variable {name}, which api_key_env names: {error}") from None


def _check_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    if "api_key" in table:
        raise _Invalid(f"{where}a key does not belong into this file: name its variable in api_key_env")
    if unknown := sorted(table.keys() - known):
        name = unknown[0] if NAME.fullmatch(unknown[0]) else "a key"
        raise _Invalid(f"{where}{name} is not known; there are {', '.join(sorted(known))}")


def _text(value: object, most: int = 255) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > most or not value.isprintable():
        raise ValueError
    return value.strip()


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError
    return value


def _one_of(*options: str) -> Callable[[object], str]:
    return lambda value: options[options.index(str(value))]


def _url(value: object) -> str:
    return env.check_url(_text(value, 2000), "http", "https")


def _tokens(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1_000 <= value <= MAX_TOKENS:
        raise ValueError
    return value


def _price(value: object) -> Decimal:
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise ValueError
    price = Decimal(value)
    if not price.is_finite() or not 0 <= price <= 1_000_000:
        raise ValueError
    return price


def _names(read: Callable[[str], str]) -> Callable[[object], list[str]]:
    def each(value: object) -> list[str]:
        if not isinstance(value, list):
            raise ValueError
        return [read(_text(item)) for item in value]

    return each


_DEFAULTS: dict[str, Any] = {
    "base_url": "",
    "api": "responses",
    "reasoning": "auto",
    "omit": [],
    "input_price": None,
    "output_price": None,
    "fallback": [],
}
_READERS: dict[str, tuple[Callable[[object], Any], str]] = {
    "name": (_name, "up to 64 letters, digits, dots, hyphens and underscores"),
    "label": (lambda value: _text(value, MAX_LABEL_LENGTH), f"a text of up to {MAX_LABEL_LENGTH} characters"),
    "model": (_text, "the model's name at its endpoint"),
    "base_url": (_url, "a URL"),
    "api": (_one_of("responses", "chat_completions"), "responses or chat_completions"),
    "context_tokens": (_tokens, f"a whole number from 1000 to {MAX_TOKENS}"),
    "reasoning": (_one_of("auto", "return", "omit"), "auto, return or omit"),
    "omit": (_names(env.parameter), "a list of names of parameters"),
    "input_price": (_price, "a number from 0 to 1000000"),
    "output_price": (_price, "a number from 0 to 1000000"),
    "fallback": (_names(_name), "a list of names of models"),
}
