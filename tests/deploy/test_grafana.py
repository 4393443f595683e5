"""The dashboard: each panel queries metrics that a worker exposes, and describes itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.worker_metrics import check_expression

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
BOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards/facestream.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [one for one in BOARD["panels"] if one["type"] != "row"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_queries_metrics_that_a_worker_exposes(panel: dict[str, Any]) -> None:
    """It also has a unit and a description."""
    assert panel["targets"]
    for target in panel["targets"]:
        check_expression(target["expr"])
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]


def test_panels_do_not_overlap() -> None:
    """Grafana would rearrange panels that overlap."""
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, panel["title"]
                taken.add((x, y))
        assert place["x"] + place["w"] <= 24


def test_ids_are_unique_and_the_uid_is_fixed() -> None:
    """Links to the dashboard contain its uid."""
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert "facestream" == BOARD["uid"]


def test_provisioning_names_the_data_source_and_the_folder() -> None:
    """The dashboard selects its data source by type."""
    folder = GRAFANA / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert "prometheus" == source["type"] == BOARD["templating"]["list"][0]["query"]
    (provider,) = yaml.safe_load((folder / "dashboards/facestream.yml").read_text())["providers"]
    assert "/var/lib/grafana/dashboards" == provider["options"]["path"]
