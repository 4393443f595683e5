"""Check PromQL expressions against the metrics that a worker exposes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from tests.streams.telemetry.worker_registry import registry_of_a_worker

#: Labels that Prometheus itself adds to each series.
SCRAPE_LABELS = {"instance", "job"}
#: Labels whose values depend on the names of topics, models and buckets.
OPEN_LABELS = {"topic", "le"}
#: Labels of info metrics, which have no sample before the models are loaded.
INFO_LABELS = {"embedder_sha256"}

_SELECTOR = re.compile(r"\b((?:facestream|process|python)_\w+)\b(\{[^}]*\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|=|!=)"([^"]*)"')
_GROUPING = re.compile(r"\bby\s*\(([^)]*)\)")


@cache
def known_samples() -> dict[str, dict[str, set[str]]]:
    """Return each exposed sample name with its labels and the values of each label."""
    known: dict[str, dict[str, set[str]]] = {}
    for family in registry_of_a_worker().registry.collect():
        for sample in family.samples:
            labels = known.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return known


def documented_names() -> Iterator[str]:
    """Yield each ``facestream_`` metric by the name that a query uses."""
    suffixes = {"counter": "_total", "info": "_info"}
    for family in registry_of_a_worker().registry.collect():
        if family.name.startswith("facestream_"):
            yield family.name + suffixes.get(family.type, "")


def check_expression(expression: str) -> None:
    """Fail if the expression names a metric, a label or a value that no worker exposes."""
    known = known_samples()
    selectors = _SELECTOR.findall(expression)
    assert selectors or re.search(r"\bup\b", expression), f"no metric in {expression}"
    for name, matchers in selectors:
        assert name in known, f"no worker exposes {name}: {expression}"
        for label, operator, value in _MATCHER.findall(matchers):
            _check_matcher(name, label, value.split("|") if operator.endswith("~") else [value])
    groupable = SCRAPE_LABELS | INFO_LABELS | OPEN_LABELS
    groupable |= {label for name, _ in selectors for label in known[name]}
    for listed in _GROUPING.findall(expression):
        for label in listed.split(","):
            assert label.strip() in groupable, f"no metric has the label of by({listed})"


def _check_matcher(name: str, label: str, values: list[str]) -> None:
    if label in SCRAPE_LABELS:
        return
    labels = known_samples()[name]
    assert label in labels, f"{name} has no label {label}"
    if label not in OPEN_LABELS:
        assert set(values) <= labels[label], f"{name}: {label} is never {values}"
