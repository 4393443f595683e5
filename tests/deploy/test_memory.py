"""The memory limits exceed the worst case that ``docs/deployment.md`` computes."""

from __future__ import annotations

import re

from streams.config.settings import Settings
from tests.deploy.files import ROOT, compose, manifest, pod_environment, service_environment

PAGE = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("| what | MB |\n|---|---:|\n")[2].partition("\n\n")[0]
ROWS = {
    what: int(megabytes)
    for what, megabytes in (line.strip("| ").split(" | ") for line in TABLE.splitlines())
}
MIB = 1024 * 1024
POD = manifest("Deployment", "worker")["spec"]["template"]["spec"]
STACK = compose("docker-compose.prod.yml")["services"]["worker"]


def test_the_worst_case_follows_from_the_settings() -> None:
    """A changed default requires a changed table."""
    settings = Settings()
    window = settings.max_in_flight_mb * MIB / 1e6
    threads = int(service_environment(STACK)["INFERENCE_THREADS"])
    partitions = 3 * int(pod_environment(POD)["KAFKA_PARTITIONS"])
    (size,) = (re.search(r"size=(\d+)m", entry) for entry in STACK["tmpfs"])
    assert size is not None
    expected = {
        "events of": 3 * window,
        "fetched pictures": window,
        "decoding": threads * 2 * 3 * settings.max_image_pixels / 1e6,
        "tensors": threads * 150,
        "HTTP bodies": 3 * window,
        "fetched ahead": partitions * MIB / 1e6,
        "`/tmp`": int(size[1]) * MIB / 1e6,
    }
    for beginning, megabytes in expected.items():
        (shown,) = (value for what, value in ROWS.items() if what.startswith(beginning))
        assert round(megabytes) == shown, beginning
    assert ROWS["together"] == sum(value for what, value in ROWS.items() if what != "together")


def test_the_limits_exceed_the_worst_case() -> None:
    """A tenth is left for memory that the allocator keeps."""
    (container,) = POD["containers"]
    kubernetes = container["resources"]["limits"]["memory"]
    swarm = STACK["deploy"]["resources"]["limits"]["memory"]
    assert kubernetes == f"{swarm}i"
    assert int(swarm.removesuffix("M")) * MIB / 1e6 > 1.1 * ROWS["together"]
