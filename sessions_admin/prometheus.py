"""What `/metrics` serves: the values of all processes of this machine, and the state of the database."""

import os
from collections.abc import Iterator

from django.db.models import Count, Max, Min
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from chat.models import Turn
from chat.models.turn import ACTIVE
from sessions_admin.heartbeat import workers
from sessions_admin.models import CleanupRun, RunStatus

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own variable


class DatabaseState(Collector):
    """Gauges of the database's state: every server reports the same."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges. Raise DatabaseError."""
        now = timezone.now()
        rows = Turn.objects.filter(status__in=ACTIVE).order_by().values("status")
        counted = {row["status"]: row for row in rows.annotate(n=Count("pk"), oldest=Min("accepted_at"))}
        turns = GaugeMetricFamily("threadkeeper_turns", "Turns that have not ended.", labels=["status"])
        ages = GaugeMetricFamily(
            "threadkeeper_oldest_turn_seconds",
            "Time since the message of the oldest turn that has not ended was accepted; 0 without one.",
            labels=["status"],
        )
        for status in ACTIVE:
            row = counted.get(status)
            turns.add_metric([status], row["n"] if row else 0)
            ages.add_metric([status], (now - row["oldest"]).total_seconds() if row else 0)
        yield from (turns, ages)
        done = CleanupRun.objects.filter(status=RunStatus.DONE, dry_run=False).aggregate(last=Max("ended_at"))["last"]
        yield GaugeMetricFamily(
            "threadkeeper_last_cleanup_timestamp_seconds",
            "When the last clean-up was done, in Unix time; 0 without one.",
            value=done.timestamp() if done else 0,
        )
        yield GaugeMetricFamily(
            "threadkeeper_workers", "Workers that are running.", value=sum(worker.is_alive for worker in workers())
        )


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format. Raise DatabaseError."""
    registry: CollectorRegistry = REGISTRY
    if os.environ.get(FOLDER):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    database = CollectorRegistry(auto_describe=False)
    database.register(DatabaseState())
    return generate_latest(registry) + generate_latest(database)
