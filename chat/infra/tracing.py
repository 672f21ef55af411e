"""Spans of turns and clean-ups, which are recorded only if OTEL_EXPORTER_OTLP_ENDPOINT is set.

Names and attributes of a span are ids, numbers, names that the operator or the code chose, and fixed words. They hold
no text of people or models, no arguments, no e-mail address and no secret; an error is known by its type or code.
"""

import asyncio
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

from chat.exceptions import ThreadkeeperError

if TYPE_CHECKING:
    from chat.infra.otlp import Recorder

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value | None]  # without those that are None


class Span:
    """An operation; this one is not recorded."""

    trace_id = ""

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def rename(self, name: str) -> None:
        """Replace the name."""

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """Add an event that happens now."""

    def fail(self, error_type: str) -> None:
        """Mark the operation as failed."""

    def end(self) -> None:
        """End the operation."""


NOT_RECORDED = Span()
_current: ContextVar[Span] = ContextVar("span", default=NOT_RECORDED)


def start() -> None:
    """Import what records spans, if they are recorded; otherwise the first span does, which takes a second."""
    _recorder()


def current() -> Span:
    """Return the span of the running task."""
    return _current.get()


@contextmanager
def use(span: Span) -> Iterator[Span]:
    """Make a span the parent of those that begin meanwhile, here and in tasks that are created here."""
    token = _current.set(span)
    try:
        yield span
    finally:
        _current.reset(token)


def begin(name: str, attributes: Attributes | None = None, *, is_request: bool = False) -> Span:
    """Begin a part of the current span; the caller ends it."""
    recorder = _recorder()
    return (
        NOT_RECORDED if recorder is None else recorder.begin(name, attributes or {}, current(), is_request=is_request)
    )


def begin_attempt(name: str, subject: uuid.UUID, attempt: int, attributes: Attributes) -> Span:
    """Begin the span of an attempt at a turn or a clean-up; the caller ends it.

    All attempts are in one trace, whose id follows from the subject's, and each is linked to the one before it: another
    process may have made that one.
    """
    recorder = _recorder()
    return NOT_RECORDED if recorder is None else recorder.begin_attempt(name, attributes, subject, attempt)


@contextmanager
def recorded(span: Span) -> Iterator[Span]:
    """Make a span the current one, end it on exit, and mark it as failed if an error is raised."""
    try:
        with use(span):
            yield span
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        span.fail(error_type(error))
        raise
    finally:
        span.end()


def error_type(error: BaseException) -> str:
    """Return the code of an error of ours, or the type of another: messages may quote anything."""
    return error.code if isinstance(error, ThreadkeeperError) else type(error).__qualname__


def _recorder() -> "Recorder | None":
    endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT
    return _recorder_to(endpoint) if endpoint else None


@cache
def _recorder_to(endpoint: str) -> "Recorder":
    from chat.infra.otlp import Recorder  # OpenTelemetry takes a second to import

    return Recorder(endpoint)
