"""The alert rules: they name metrics that exist, fire when they should, and are explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.promql import Query, Series, seconds
from tests.streams.telemetry.test_metrics import registry_of_a_worker

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "facestream.json"
PROMTOOL = shutil.which("promtool")
METRICS_PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")

#: What Prometheus itself adds.
OF_PROMETHEUS = {"up", "ALERTS"}
LABELS_OF_PROMETHEUS = {"instance", "job"}


def loaded(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text("utf-8"))


RULES: list[dict[str, Any]] = [
    rule for group in loaded("alerts.yml")["groups"] for rule in group["rules"]
]
CASES: list[dict[str, Any]] = loaded("alerts.test.yml")["tests"]


def firing(case: dict[str, Any], when: float) -> set[str]:
    """The alerts that fire at a time, by rules evaluated once a minute from the start."""
    data = [Series.parse(one["series"], one["values"]) for one in case["input_series"]]
    found = set()
    for rule in RULES:
        query, hold = Query(rule["expr"], data), seconds(rule.get("for", "0s"))
        since: dict[object, float] = {}
        for minute in range(int(when // 60) + 1):
            holding = query.at(60.0 * minute)
            since = {labels: since.get(labels, 60.0 * minute) for labels in holding}
        if any(when - began >= hold for began in since.values()):
            found.add(rule["alert"])
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_alerts_fire_when_they_should_and_only_then(case: dict[str, Any]) -> None:
    """The cases of alerts.test.yml."""
    for expected in case["promql_expr_test"]:
        names = {
            re.search(r'alertname="(\w+)"', sample["labels"]).group(1)  # type: ignore[union-attr]
            for sample in expected["exp_samples"]
        }
        assert names == firing(case, seconds(expected["eval_time"]))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "command",
    [
        ["check", "rules", "alerts.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["test", "rules", "alerts.test.yml"],
    ],
    ids=" ".join,
)
def test_prometheus_itself_agrees(command: list[str]) -> None:
    """Rules, configuration and the same cases, by its own tool."""
    done = subprocess.run(
        [PROMTOOL or "", *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    """Nobody has seen an alert work that has none."""
    seen = {
        name
        for case in CASES
        for expected in case["promql_expr_test"]
        for sample in expected["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert {rule["alert"] for rule in RULES} == seen


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    """Who is woken by it needs a sentence, a severity and a paragraph."""
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert f"### {rule['alert']}" in METRICS_PAGE


def known_samples() -> dict[str, dict[str, set[str]]]:
    """The samples that a worker gives, and the values of each of their labels."""
    known: dict[str, dict[str, set[str]]] = {}
    for family in registry_of_a_worker().registry.collect():
        for sample in family.samples:
            labels = known.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return known


#: Labels of which any value may come: they depend on names of topics, models and buckets.
OPEN_LABELS = {"topic", "le"}
#: Labels of info metrics, which have none before the models are warm.
INFO_LABELS = {"embedder_sha256"}


def check_expression(expression: str) -> None:
    """Every metric in it is one that a worker gives, with labels and values that it has."""
    known = known_samples()
    selectors = re.findall(r"\b((?:facestream|process|python)_\w+)\b(\{[^}]*\})?", expression)
    assert selectors or re.search(r"\bup\b", expression), "no metric at all"
    for name, matchers in selectors:
        assert name in known, f"{name} in {expression}"
        for label, how, value in re.findall(r'(\w+)(=~|!~|=|!=)"([^"]*)"', matchers):
            if label in LABELS_OF_PROMETHEUS:
                continue
            assert label in known[name], f"{name} has no label {label}"
            if label not in OPEN_LABELS:
                values = value.split("|") if how.endswith("~") else [value]
                assert set(values) <= known[name][label], f"{name}: {label}={value}"
    for listed in re.findall(r"\bby\s*\(([^)]*)\)", expression):
        for label in (one.strip() for one in listed.split(",")):
            anywhere = LABELS_OF_PROMETHEUS | INFO_LABELS | OPEN_LABELS
            anywhere |= {one for name, _ in selectors for one in known[name]}
            assert label in anywhere, f"by {label} in {expression}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rules_ask_for_what_a_worker_gives(rule: dict[str, Any]) -> None:
    """A rule on a metric that was renamed never fires, and nobody notices."""
    check_expression(rule["expr"])


def test_the_check_itself_sees_a_wrong_name_label_and_value() -> None:
    """Each would make a rule silent."""
    for wrong in (
        "facestream_fallback_total > 0",
        'facestream_fallbacks_total{cause="no_face"} > 0',
        'facestream_fallbacks_total{reason="noface"} > 0',
        "sum by (cause) (facestream_fallbacks_total) > 0",
    ):
        with pytest.raises(AssertionError):
            check_expression(wrong)


def test_prometheus_reads_our_page_and_our_rules() -> None:
    """By the path and the port that a worker has."""
    config = loaded("prometheus.yml")
    assert ["alerts.yml"] == config["rule_files"]
    (job,) = config["scrape_configs"]
    assert ("facestream", "/metrics") == (job["job_name"], job["metrics_path"])
    assert 6066 == job["dns_sd_configs"][0]["port"]


def test_every_metric_is_explained() -> None:
    """In docs/metrics.md, by the name that is queried."""
    for family in registry_of_a_worker().registry.collect():
        if family.name.startswith("facestream_"):
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            assert f"`{family.name}{suffix}`" in METRICS_PAGE, family.name
