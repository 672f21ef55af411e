"""Format log records so that they hold no text of people and no secret, whichever library writes them.

- Exceptions appear as their type, with the traceback and what is known to be harmless (SQLSTATE, HTTP status). Their
  messages repeat values: psycopg's the row of a violated constraint, pydantic's the input, openai's the whole answer.
- A record about a request names the URL pattern instead of the path: a path holds the token of a password reset.
- Messages of libraries lose their arguments, which may be anything. Ours keep them.
"""

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from chat.infra.log_context import bound
from chat.infra.tracing import current

OWN_LOGGERS = ("chat", "config", "sessions_admin", "__main__")
PLACEHOLDER = "…"
MAX_MESSAGE = 300
# Where a message that a library has formatted begins to repeat a value; the name of the project's own background task
# stays.
QUOTED_VALUE = re.compile(r"""(?<=\w)(: | - |=)|["'`“‘<{\[\n](?!(?:chat|sessions_admin)\.)""")
SECRETS = re.compile(
    r"""
    (?P<token>\btk_)[\w-]+                      # our own tokens
    | (?P<bearer>\b(?i:bearer|basic)\s)[\w.~+/=-]{8,}
    | (?P<user>://)[^\s/@]+(?=@)                # the user and password of a URL
    | (?P<query>(?<=[\w/])\?)[^\s'"]*=[^\s'"]*  # the query of a URL
    """,
    re.VERBOSE,
)
CONTROL = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


class Verbatim(str):
    """A text that `%r` returns unchanged."""

    __slots__ = ()
    __repr__ = str.__str__


class SafeFormatter(logging.Formatter):
    """Formats a record in one line, and a traceback without the messages of its exceptions."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record; the record itself is not changed, since other handlers format it too."""
        return str(super().format(self.sanitize(record))).translate(CONTROL)

    def sanitize(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a copy of a record, without request data or user content."""
        safe = logging.makeLogRecord(record.__dict__)
        safe.msg, safe.args = hide_secrets(message_of(record)), None
        # Another handler may have cached a traceback with its message.
        safe.exc_text = safe.stack_info = None
        if getattr(record, "status_code", 500) < 500:
            # The client's fault, as with an unknown host: one line is enough, and it is no error of the server's.
            safe.exc_info = None
            safe.levelno = min(record.levelno, logging.WARNING)
            safe.levelname = logging.getLevelName(safe.levelno)
        return safe

    def formatException(self, ei: Any) -> str:
        """Return a traceback whose exceptions are described without their messages."""
        return "".join(describe_traceback(ei[1])).rstrip("\n") if ei[1] else ""


class JsonFormatter(SafeFormatter):
    """Format a record as a JSON object in one line, with the ids of its request, socket, turn and trace."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as text."""
        safe = self.sanitize(record)
        entry = {
            "time": datetime.fromtimestamp(safe.created, UTC).isoformat(timespec="milliseconds"),
            "level": safe.levelname,
            "logger": safe.name,
            "message": safe.getMessage(),
            **bound(),
            **({"trace_id": trace_id} if (trace_id := current().trace_id) else {}),
        }
        if safe.exc_info:
            entry["exception"] = self.formatException(safe.exc_info)
        return json.dumps(entry)  # in ASCII, which no terminal and no encoding misreads


def message_of(record: logging.LogRecord) -> str:
    """Return the message of a record, without request data or user content."""
    request = getattr(record, "request", None)
    if hasattr(request, "META"):
        return _request_message(record, request)
    ours = record.name.partition(".")[0] in OWN_LOGGERS
    if not record.args:
        return str(record.msg) if ours else _truncate(str(record.msg))
    try:
        return str(record.msg % _arguments(record.args, ours=ours))
    except (TypeError, ValueError):
        return str(record.msg)


def hide_secrets(text: str) -> str:
    """Return a text without tokens, passwords in URLs and query strings."""
    hidden: str = SECRETS.sub(lambda match: f"{match[match.lastgroup or 0]}{PLACEHOLDER}", text)
    return hidden


def _request_message(record: logging.LogRecord, request: Any) -> str:
    match = getattr(request, "resolver_match", None)
    where = f"/{match.route.strip('^$')}" if match else "an unknown path"
    status = getattr(record, "status_code", None)
    error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    return " ".join(str(part) for part in (request.method, where, status and f"answered {status}", error) if part)


def _truncate(message: str) -> str:
    found = QUOTED_VALUE.search(message)
    return message[: found.start() if found else MAX_MESSAGE][:MAX_MESSAGE].rstrip()


def _arguments(args: Any, *, ours: bool) -> Any:
    if isinstance(args, Mapping):
        return {name: _argument(value, ours=ours) for name, value in args.items()}
    return tuple(_argument(value, ours=ours) for value in args)


def _argument(value: object, *, ours: bool) -> object:
    if isinstance(value, BaseException):
        return Verbatim(describe(value))
    if isinstance(value, bool | int | float) or value is None or ours:
        return value
    return Verbatim(value.__name__ if isinstance(value, type) else PLACEHOLDER)


# Exceptions.


def describe(error: BaseException) -> str:
    """Return the type of an exception and its harmless attributes: SQLSTATE and constraint, HTTP status, errno."""
    known = [
        *_safe_field(error, "sqlstate", "SQLSTATE"),
        *_safe_field(getattr(error, "diag", None), "constraint_name", "constraint"),
        *_safe_field(error, "status_code", "status"),
        *([error.strerror] if isinstance(error, OSError) and error.strerror else []),
    ]
    return type(error).__qualname__ + (f" ({', '.join(known)})" if known else "")


def _safe_field(owner: object, name: str, label: str) -> Iterator[str]:
    value = getattr(owner, name, None)
    if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\w+", value)):
        yield f"{label} {value}"


def describe_traceback(error: BaseException, seen: frozenset[int] = frozenset()) -> Iterator[str]:
    """Yield the lines of a traceback, causes first, with `describe` instead of each exception's message."""
    seen |= {id(error)}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        yield from describe_traceback(cause, seen)
        yield "which led to:\n"
    if error.__traceback__:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__)
    yield f"{describe(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for n, part in enumerate(error.exceptions, 1):
            yield f"Part {n} of it:\n"
            yield from describe_traceback(part, seen)


# Output that does not pass through a logger.


def capture_uncaught() -> None:
    """Log the uncaught errors that Python and twisted would otherwise write to stderr."""
    from twisted.logger import STDLibLogObserver, globalLogPublisher

    observer: Any = STDLibLogObserver()
    globalLogPublisher.addObserver(observer)  # daphne starts the logging itself
    logger = logging.getLogger(__name__)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        logger.error("An exception ended a thread.", exc_info=args.exc_value)

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        logger.error("An exception could not be raised.", exc_info=args.exc_value)

    threading.excepthook = in_thread
    sys.unraisablehook = unraisable
