"""What `/metrics` serves: the values of all processes of this machine, and the state of the database."""

import os
from collections.abc import Iterator

from django.db.models import Max
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from chat.models.turn import Status
from sessions_admin.heartbeat import workers
from sessions_admin.metrics.queue_health import unfinished_turns
from sessions_admin.metrics.stats import by_state
from sessions_admin.models import CleanupRun, RunStatus

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own variable


class DatabaseState(Collector):
    """Gauges of the database's state: every server reports the same."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges. Raise DatabaseError."""
        now = timezone.now()
        unfinished = unfinished_turns()
        turns = _gauge("unfinished_turns", "Turns that have not ended.", "status")
        ages = _gauge("oldest_turn_seconds", "Age of the oldest turn that has not ended; 0 without one.", "status")
        for status, (n, oldest) in unfinished.items():
            turns.add_metric([status], n)
            ages.add_metric([status], (now - oldest).total_seconds() if oldest else 0)
        yield from (turns, ages, _gauge("queue_depth", "Queued turns.", value=unfinished[Status.QUEUED][0]))
        sessions = _gauge("sessions", "Agent sessions, by state.", "state")
        for count in by_state():
            sessions.add_metric([count.state], count.sessions)
        yield sessions
        done = CleanupRun.objects.filter(status=RunStatus.DONE, dry_run=False).aggregate(last=Max("ended_at"))["last"]
        name = "cleanup_last_success_timestamp_seconds"
        yield _gauge(name, "When the last clean-up was done; 0 without one.", value=done.timestamp() if done else 0)
        yield _gauge("workers", "Workers that are running.", value=sum(worker.is_alive for worker in workers()))


def _gauge(name: str, documentation: str, *labels: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"threadkeeper_{name}", documentation, value=value, labels=labels or None)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format. Raise DatabaseError."""
    registry: CollectorRegistry = REGISTRY
    if os.environ.get(FOLDER):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    database = CollectorRegistry(auto_describe=False)
    database.register(DatabaseState())
    return generate_latest(registry) + generate_latest(database)
