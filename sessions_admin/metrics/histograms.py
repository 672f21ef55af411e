"""Quantiles of the histograms that the processes of this machine share."""

import os
from itertools import pairwise
from pathlib import Path

from django.conf import settings
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own variable


def quantiles(q: float, *names: str) -> dict[str, float | None]:
    """Return a quantile of each histogram since the last start of `up`, as Prometheus would; None without values.

    One beyond the last bound is that bound.
    """
    folder = Path(os.environ.get(FOLDER) or settings.METRICS_DIR)
    buckets: dict[str, dict[float, float]] = {name: {} for name in names}
    if folder.is_dir():
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
        for family in registry.collect():
            for sample in family.samples if family.name in buckets else ():
                if sample.name.endswith("_bucket"):
                    bound = float(sample.labels["le"])
                    of_name = buckets[family.name]
                    of_name[bound] = of_name.get(bound, 0.0) + sample.value
    return {name: _quantile(q, counts) for name, counts in buckets.items()}


def _quantile(q: float, cumulative: dict[float, float]) -> float | None:
    bounds = sorted(cumulative)
    if not bounds or not (total := cumulative[bounds[-1]]):
        return None
    rank = q * total
    for lower, upper in pairwise([0.0, *bounds]):
        below, until = cumulative.get(lower, 0.0), cumulative[upper]
        if until >= rank:
            return lower if upper == float("inf") else lower + (upper - lower) * (rank - below) / (until - below)
    return None
