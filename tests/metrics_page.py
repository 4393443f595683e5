"""Reads the metrics page of a worker as Prometheus does."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from streams.local.worker_process import WorkerProcess

#: The value of each series, by sample name and label values in order.
Series = dict[tuple[str, ...], float]


def series_of(families: Iterable[Metric]) -> Series:
    """Return the samples of a registry or a page."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def metrics_of(worker: WorkerProcess) -> Series:
    """Return the series of the worker's metrics page."""
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=5) as answer:
        return series_of(text_string_to_metric_families(answer.read().decode()))
