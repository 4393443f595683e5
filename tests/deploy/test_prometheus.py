"""The alert rules are valid, query metrics that exist, fire in their cases, and are documented."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.worker_metrics import check_expression, documented_names

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
PROMTOOL = shutil.which("promtool")
METRICS_PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")


def load(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text("utf-8"))


RULES: list[dict[str, Any]] = [
    rule for group in load("alerts.yml")["groups"] for rule in group["rules"]
]


@pytest.mark.skipif(
    PROMTOOL is None,
    reason="promtool is not installed: rules are only parsed; on Debian: apt install prometheus",
)
@pytest.mark.parametrize(
    "command",
    ["check rules alerts.yml", "check config prometheus.yml", "test rules alerts.test.yml"],
)
def test_promtool_accepts(command: str) -> None:
    """Rules and configuration are valid, and each alert fires in its cases and no other does."""
    done = subprocess.run(
        [PROMTOOL or "", *command.split()],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_each_alert_has_a_case_in_which_it_fires() -> None:
    """``alerts.test.yml`` expects each alert at least once."""
    expected = {
        name
        for case in load("alerts.test.yml")["tests"]
        for query in case["promql_expr_test"]
        for sample in query["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert {rule["alert"] for rule in RULES} == expected


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_described(rule: dict[str, Any]) -> None:
    """It has a severity, a summary, a description and a section of ``docs/metrics.md``."""
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert f"### {rule['alert']}" in METRICS_PAGE


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_queries_metrics_that_a_worker_exposes(rule: dict[str, Any]) -> None:
    """A rule on a metric that was renamed would never fire."""
    check_expression(rule["expr"])


@pytest.mark.parametrize(
    "wrong",
    [
        "facestream_fallback_total > 0",
        'facestream_fallbacks_total{cause="no_face"} > 0',
        'facestream_fallbacks_total{reason="noface"} > 0',
        "sum by (cause) (facestream_fallbacks_total) > 0",
    ],
)
def test_the_name_check_finds_a_wrong_name_label_and_value(wrong: str) -> None:
    """Each of these rules would stay silent in Prometheus."""
    with pytest.raises(AssertionError):
        check_expression(wrong)


def test_prometheus_scrapes_a_worker_and_loads_the_rules() -> None:
    """The scrape job has the worker's path and port."""
    config = load("prometheus.yml")
    assert ["alerts.yml"] == config["rule_files"]
    (job,) = config["scrape_configs"]
    assert ("facestream", "/metrics") == (job["job_name"], job["metrics_path"])
    assert 6066 == job["dns_sd_configs"][0]["port"]


def test_each_metric_is_documented() -> None:
    """``docs/metrics.md`` lists it by the name that a query uses."""
    for name in documented_names():
        assert f"`{name}`" in METRICS_PAGE, name
