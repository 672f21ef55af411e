"""An OpenTelemetry collector that stores the spans it receives by OTLP over HTTP."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from config.tests.support import eventually

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """An event of a span."""

    name: str
    attributes: Attributes


@dataclass(frozen=True)
class Received:
    """A received span; ids are in hexadecimal."""

    name: str
    started: int  # in nanoseconds of Unix time
    trace_id: str
    id: str
    parent_id: str
    links: Sequence[str]
    attributes: Attributes
    events: Sequence[Event]
    has_failed: bool
    resource: Attributes


class Collector:
    """Receives traces while it is used as a context manager, and responds with `status`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status = 200
        bodies, collector = self.bodies, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces" and collector.status == 200:
                    bodies.append(body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def spans(self) -> list[Received]:
        """All spans received so far."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in list(self.bodies)]
        return [
            _span(span, _attributes(group.resource.attributes))
            for request in requests
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def until(self, is_complete: Callable[[list[Received]], object]) -> list[Received]:
        """Wait until a condition holds for the spans, and return them."""
        eventually(lambda: is_complete(self.spans), what="the spans")
        return self.spans


def tree(spans: Sequence[Received], parent_id: str = "") -> list[Any]:
    """Return the names of a parent's spans in order of their start; a span with children is a pair of name and list."""
    children = [span for span in spans if span.parent_id == parent_id]
    return [(span.name, below) if (below := tree(spans, span.id)) else span.name for span in children]


def _span(span: Span, resource: Attributes) -> Received:
    return Received(
        name=span.name,
        started=span.start_time_unix_nano,
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=[link.span_id.hex() for link in span.links],
        attributes=_attributes(span.attributes),
        events=[Event(event.name, _attributes(event.attributes)) for event in span.events],
        has_failed=span.status.code == Status.STATUS_CODE_ERROR,
        resource=resource,
    )


def _attributes(pairs: Sequence[KeyValue]) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, str(kind))
