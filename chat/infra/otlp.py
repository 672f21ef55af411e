"""Record spans with the OpenTelemetry SDK, and send them to a collector by OTLP over HTTP.

Imported only if OTEL_EXPORTER_OTLP_ENDPOINT is set. The SDK reads its other variables itself, such as
OTEL_EXPORTER_OTLP_HEADERS and OTEL_TRACES_SAMPLER.
"""

import logging
import os
import time
import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from hashlib import blake2b
from multiprocessing.util import Finalize

from django.conf import settings
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from chat.infra.tracing import Attributes, Span, Value

logger = logging.getLogger(__name__)

# The semantic conventions whose names the spans have; the GenAI conventions have had no later release.
SCHEMA = "https://opentelemetry.io/schemas/1.41.0"
# Seconds for sending a batch, with retries: the end of the process waits for the last one.
EXPORT_TIMEOUT = 3.0
REPORT_EVERY = 60.0


class Recorder:
    """The tracer of this process."""

    def __init__(self, endpoint: str) -> None:
        self._ids = _AttemptIds()
        resource = Resource.create(
            {
                "service.name": os.environ.get("OTEL_SERVICE_NAME") or "threadkeeper",
                "service.version": settings.VERSION,
                "service.instance.id": str(uuid.uuid4()),
            }
        )
        self._exporter = ReportingExporter(
            OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT)
        )
        # Not the global one: libraries would record with it, as MCP's does, what they think is harmless.
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("threadkeeper", settings.VERSION, schema_url=SCHEMA)
        # Unlike atexit, it runs at the end of a forked worker too.
        Finalize(None, self._stop, exitpriority=0)

    def begin(self, name: str, attributes: Attributes, parent: Span, *, is_request: bool) -> Span:
        """Begin a span within another one."""
        context = trace.set_span_in_context(parent.span, Context()) if isinstance(parent, RecordedSpan) else Context()
        kind = SpanKind.CLIENT if is_request else SpanKind.INTERNAL
        return RecordedSpan(self._tracer.start_span(name, context, kind, _given(attributes)))

    def begin_attempt(self, name: str, attributes: Attributes, subject: uuid.UUID, attempt: int) -> Span:
        """Begin the span of an attempt, with the ids of `attempt_ids`."""
        links = [Link(_context(subject, attempt - 1))] if attempt > 1 else None
        token = self._ids.given.set(attempt_ids(subject, attempt))
        try:
            return RecordedSpan(self._tracer.start_span(name, Context(), attributes=_given(attributes), links=links))
        finally:
            self._ids.given.reset(token)

    def _stop(self) -> None:
        self._exporter.stopping = True
        self._provider.shutdown()


class RecordedSpan(Span):
    """A span of the SDK."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span
        self.trace_id = trace.format_trace_id(span.get_span_context().trace_id)

    def set(self, attributes: Attributes) -> None:
        self.span.set_attributes(_given(attributes))

    def rename(self, name: str) -> None:
        self.span.update_name(name)

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        self.span.add_event(name, _given(attributes or {}))

    def fail(self, error_type: str) -> None:
        self.span.set_status(Status(StatusCode.ERROR))
        self.span.set_attribute("error.type", error_type)

    def end(self) -> None:
        self.span.end()


class ReportingExporter(SpanExporter):
    """Logs at most once a minute that spans were lost, and never delays the end of the process twice."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._lost = 0
        self._has_failed = False
        self._reports_at = 0.0
        self.stopping = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        if not (self.stopping and self._has_failed) and self._inner.export(spans) == SpanExportResult.SUCCESS:
            self._has_failed = False
            return SpanExportResult.SUCCESS
        self._has_failed = True
        self._lost += len(spans)
        now = time.monotonic()
        if now >= self._reports_at:
            logger.warning("The collector of traces does not accept them; %d spans were lost.", self._lost)
            self._lost, self._reports_at = 0, now + REPORT_EVERY
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Disconnect."""
        self._inner.shutdown()


class _AttemptIds(RandomIdGenerator):
    """Random ids, except for the span of an attempt."""

    def __init__(self) -> None:
        self.given: ContextVar[tuple[int, int] | None] = ContextVar("ids", default=None)

    def generate_trace_id(self) -> int:
        given = self.given.get()
        return super().generate_trace_id() if given is None else given[0]

    def generate_span_id(self) -> int:
        given = self.given.get()
        return super().generate_span_id() if given is None else given[1]


def attempt_ids(subject: uuid.UUID, attempt: int) -> tuple[int, int]:
    """Return the ids of the trace of a turn or a clean-up, and of the span of an attempt at it.

    They are hashes, since samplers expect random bits, which a UUID does not have everywhere.
    """
    trace_id = blake2b(subject.bytes, digest_size=16).digest()
    span_id = blake2b(subject.bytes + attempt.to_bytes(4), digest_size=8).digest()
    return int.from_bytes(trace_id), int.from_bytes(span_id)


def _context(subject: uuid.UUID, attempt: int) -> SpanContext:
    return SpanContext(*attempt_ids(subject, attempt), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _given(attributes: Attributes) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}
