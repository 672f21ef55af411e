"""Parse the settings that are URLs: the site's address, its database, its mail server."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import idna
import psycopg
from psycopg.conninfo import conninfo_to_dict

from config.env import InvalidValue, check_url

DEFAULT_PORTS = {"http": 80, "https": 443}
SEGMENT = re.compile(r"(?!\.+$)[A-Za-z0-9._~-]+", re.ASCII)
# What paths of the site begin with. A proxy may pass the site's own path on or strip it: they must differ.
OWN_PATHS = {
    *("accounts", "admin", "api", "archive", "c", "chats", "favicon.ico", "healthz", "mcp", "metrics", "readyz"),
    *("search", "settings", "state", "static", "trash", "ws"),
}
LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
MAIL_TIMEOUT = 10
FLAGS = {"on": True, "off": False}


def origin(value: str) -> str:
    """Return a URL of scheme, host and port as browsers write an origin. Raise InvalidValue.

    Case, IDNA, IPv6 and the default port are normalised: `HTTPS://Bücher.example:443/` is
    `https://xn--bcher-kva.example`.
    """
    found = _origin(value)
    if urlsplit(value).path not in ("", "/"):
        raise InvalidValue("it must not have a path")
    return found


def site(value: str) -> str:
    """Return the URL of the site: its origin, and a path without a slash at its end. Raise InvalidValue."""
    found = _origin(value)
    path = urlsplit(value).path.removesuffix("/")
    segments = path.split("/")[1:]
    if not all(SEGMENT.fullmatch(segment) for segment in segments):
        raise InvalidValue("its path may have letters, digits, hyphens, underscores, dots and tildes between slashes")
    if segments and segments[0] in OWN_PATHS:
        raise InvalidValue(f"its path must not begin with /{segments[0]}, as pages of the site do")
    return found + path


def _origin(value: str) -> str:
    check_url(value, "http", "https")
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise InvalidValue("it must not contain a user name or password")
    if "?" in value or "#" in value:
        raise InvalidValue("it must not contain a query or fragment")
    host = normal_host(parts)
    port = "" if parts.port in (None, DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def normal_host(parts: SplitResult) -> str:
    """Return the host of a URL in lower case and ASCII, an IPv6 address in brackets. Raise InvalidValue."""
    name = parts.hostname or ""
    try:
        if "[" in parts.netloc or ":" in name:
            return f"[{ipaddress.IPv6Address(name if '%' not in name else '')}]"
        if not name.isascii():
            name = idna.encode(name, uts46=True, std3_rules=True).decode()
        name = name.removesuffix(".")
        labels = name.split(".")
        if NUMBER.fullmatch(labels[-1]):
            return str(ipaddress.IPv4Address(name))
    except ValueError:  # includes idna's errors
        raise InvalidValue("its host is neither a name nor an IP address") from None
    if len(name) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise InvalidValue("its host is neither a name nor an IP address")
    return name


def trusted_origin(value: str) -> str:
    """Return an entry of CSRF_TRUSTED_ORIGINS, which may begin with `*.`, as browsers write it. Raise InvalidValue."""
    scheme, separator, rest = value.partition("://*.")
    if not separator:
        return origin(value)
    scheme, separator, rest = origin(f"{scheme}://{rest}").partition("://")
    return f"{scheme}://*.{rest}"


def allowed_host(value: str) -> str:
    """Return an entry of ALLOWED_HOSTS in lower case and ASCII. Raise InvalidValue."""
    if value.isascii():
        return value.lower()
    dot = "." if value.startswith(".") else ""
    try:
        return dot + idna.encode(value.removeprefix("."), uts46=True).decode()
    except idna.IDNAError:
        raise InvalidValue(f"{value!r} is not a host name") from None


# The database.


def database(value: str) -> dict[str, Any]:
    """Return the connection parameters of a PostgreSQL URL. Raise InvalidValue."""
    if value.partition("://")[0] not in ("postgres", "postgresql"):
        raise InvalidValue("it must be a URL that begins with postgres:// or postgresql://")
    try:
        parameters = conninfo_to_dict(value)
    except psycopg.ProgrammingError:  # its text repeats parts of the value
        raise InvalidValue(NOT_A_DATABASE) from None
    ports = str(parameters.get("port") or "5432").split(",")
    name = value.partition("://")[2].partition("/")[2].partition("?")[0]
    # A password with an unescaped slash ends the host, and the rest of it would become port and name.
    if "@" in name or not all(re.fullmatch("[0-9]*", port, re.ASCII) for port in ports):
        raise InvalidValue(NOT_A_DATABASE)
    return parameters


def session_store(value: str) -> str:
    """Return `file`, `database`, or the URL of a PostgreSQL. Raise InvalidValue."""
    if value not in ("file", "database"):
        if "://" not in value:
            raise InvalidValue("it must be file, database, or the URL of a PostgreSQL")
        database(value)
    return value


NOT_A_DATABASE = (
    "it must be a PostgreSQL URL such as postgres://user:password@host:5432/name; "
    "in a user name or password write : / ? # [ ] @ % as %3A and so on"
)


def redis(value: str) -> str:
    """Return a Redis URL. Raise InvalidValue, also for options that change how the client reads replies."""
    from redis import RedisError  # here, for processes without it
    from redis.asyncio.connection import Connection, parse_url

    try:
        parameters: dict[str, Any] = {**parse_url(value)}
    except ValueError:  # its text may repeat parts of the value
        raise InvalidValue("it must be a URL such as redis://:password@host:6379/0, or rediss:// with TLS") from None
    names = {name for name, _ in parse_qsl(urlsplit(value).query, keep_blank_values=True)}
    if not all(name == "db" or name.startswith("ssl_") for name in names):
        raise InvalidValue(REDIS_OPTIONS)
    try:
        parameters.pop("connection_class", Connection)(**parameters)  # it connects later
    except (TypeError, ValueError, RedisError):
        raise InvalidValue(REDIS_OPTIONS) from None
    return value


REDIS_OPTIONS = "its options may be db and, with rediss://, those of TLS such as ssl_ca_certs=/path/to/ca.pem"


# Mail.


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """How mail is sent: the arguments of Django's mail settings."""

    backend: str = "console"
    host: str = "localhost"
    port: int = 25
    user: str = ""
    password: str = ""
    use_tls: bool = False
    use_ssl: bool = False
    timeout: int = MAIL_TIMEOUT


def mail(value: str) -> MailServer:
    """Return the mail server of `smtp://user:password@host:587?starttls=on&timeout=10`, or of smtps://. Raise
    InvalidValue.

    smtp uses STARTTLS if there is a user, unless `starttls` is set; smtps uses TLS from the start.
    """
    parts = urlsplit(check_url(value, "smtp", "smtps", "console"))
    if parts.scheme == "console":
        return MailServer()
    if not parts.hostname or parts.path not in ("", "/") or parts.fragment or BAD_ESCAPE.search(parts.netloc):
        raise InvalidValue(NOT_A_MAIL_SERVER)
    options = _options(parts.query)
    secure = parts.scheme == "smtps"
    if secure and options.pop("starttls", False):
        raise InvalidValue("smtps:// uses TLS from the start; use smtp:// for STARTTLS")
    return MailServer(
        backend="smtp",
        host=parts.hostname,
        port=parts.port or (465 if secure else 587),
        user=_decoded(parts.username),
        password=_decoded(parts.password),
        use_ssl=secure,
        use_tls=bool(options.get("starttls", not secure and bool(parts.username))),
        timeout=options.get("timeout", MAIL_TIMEOUT),
    )


NOT_A_MAIL_SERVER = (
    "it must be a URL such as smtp://user:password@host:587; "
    "in a user name or password write : / ? # [ ] @ % as %3A and so on"
)


def _decoded(text: str | None) -> str:
    try:
        return unquote(text or "", errors="strict")
    except UnicodeDecodeError:
        raise InvalidValue(NOT_A_MAIL_SERVER) from None


def _options(query: str) -> dict[str, int]:
    options: dict[str, int] = {}
    try:
        for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
            options[name] = OPTIONS[name](value)
    except (ValueError, KeyError):
        raise InvalidValue("its options must be starttls=on, starttls=off or timeout=seconds") from None
    if options.get("timeout", 1) < 1:
        raise InvalidValue("its timeout must be a whole number of seconds, 1 or more")
    return options


OPTIONS: dict[str, Callable[[str], int]] = {"starttls": FLAGS.__getitem__, "timeout": int}
