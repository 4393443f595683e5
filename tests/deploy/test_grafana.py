"""The dashboard: every panel asks for what a worker gives, and says what it shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.deploy.test_prometheus import DASHBOARD, ROOT, check_expression

BOARD: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
PANELS: list[dict[str, Any]] = [one for one in BOARD["panels"] if one["type"] != "row"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_a_worker_gives(panel: dict[str, Any]) -> None:
    """With a unit, and a sentence for who sees it for the first time."""
    assert panel["targets"]
    for target in panel["targets"]:
        check_expression(target["expr"])
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]


def test_panels_do_not_overlap() -> None:
    """Grafana would move them about."""
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, panel["title"]
                taken.add((x, y))
        assert place["x"] + place["w"] <= 24


def test_ids_are_unique_and_the_board_can_be_found() -> None:
    """The uid is what links point to."""
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert "facestream" == BOARD["uid"]


def test_grafana_is_told_of_the_folder_and_of_prometheus() -> None:
    """The dashboard's data source is chosen by its kind."""
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert "prometheus" == source["type"] == BOARD["templating"]["list"][0]["query"]
    (provider,) = yaml.safe_load((folder / "dashboards/facestream.yml").read_text())["providers"]
    assert "/var/lib/grafana/dashboards" == provider["options"]["path"]
