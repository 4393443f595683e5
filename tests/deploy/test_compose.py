"""The compose files are valid and hardened, and order starts and stops correctly."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streams.config.settings import pinned_settings
from tests.deploy.files import (
    COMPOSE_FILES,
    ROOT,
    compose,
    our_services,
    sample,
    seconds,
    service_environment,
)

SCHEMA = json.loads((Path(__file__).parent / "compose-spec/compose-spec.json").read_text())
LOCAL = compose("docker-compose.yml")
STACK = compose("docker-compose.prod.yml")
OURS = [pytest.param(service, id=f"{file}:{name}") for file, name, service in our_services()]


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_a_compose_file_is_valid_by_the_specification(name: str) -> None:
    """The Compose Specification defines each key and value."""
    jsonschema.Draft202012Validator(SCHEMA).validate(compose(name))


def test_the_schema_rejects_an_unknown_key() -> None:
    """The test above would otherwise prove nothing."""
    broken = {"services": {"worker": {"image": "x", "stop_grace": "60s"}}}
    with pytest.raises(jsonschema.ValidationError, match="stop_grace"):
        jsonschema.Draft202012Validator(SCHEMA).validate(broken)


def test_docker_reads_the_production_stack(tmp_path: Path) -> None:
    """``docker stack config`` needs only the client, no engine."""
    if not shutil.which("docker"):
        pytest.skip("the docker client is not installed; only the schema was checked")
    secrets = tmp_path / "secrets.env"
    secrets.touch()
    ran = subprocess.run(
        ["docker", "stack", "config", "-c", "docker-compose.prod.yml"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "FACESTREAM_SECRETS": str(secrets)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    worker = yaml.safe_load(ran.stdout)["services"]["worker"]
    assert sample(".env.production").items() <= worker["environment"].items()


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_third_party_images_are_pinned_to_a_version(name: str) -> None:
    """The same file starts the same versions at any time."""
    ours = {service["image"] for _, _, service in our_services()}
    images = {service["image"] for service in compose(name)["services"].values()} - ours
    for image in images:
        _, _, tag = image.partition(":")
        assert tag.lstrip("v")[:1].isdecimal(), image


@pytest.mark.parametrize("service", OURS)
def test_worker_containers_have_a_read_only_root_and_no_privileges(service: dict[str, Any]) -> None:
    """An intruder can neither write files nor gain privileges."""
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [entry.split(":")[0] for entry in service["tmpfs"]] == ["/tmp"]
    assert service.get("user", "") not in ("root", "0")


@pytest.mark.parametrize(
    "service", [LOCAL["services"]["worker"], STACK["services"]["worker"]], ids=COMPOSE_FILES
)
def test_docker_waits_longer_than_the_worker_drains(service: dict[str, Any]) -> None:
    """The worker's own stop timeout expires before Docker sends SIGKILL."""
    drain = service_environment(service).get("DRAIN_TIMEOUT_S")
    given = {} if drain is None else {"drain_timeout_s": drain}
    stop_timeout_s = pinned_settings(**given).stop_timeout_s
    assert seconds(service["stop_grace_period"]) > stop_timeout_s + 10


def test_each_long_running_service_has_a_health_check() -> None:
    """``up --wait`` and ``depends_on`` need it; the ``topics`` service ends on its own."""
    for name, service in {**LOCAL["services"], **STACK["services"]}.items():
        disabled = service["healthcheck"].get("disable", False)
        assert disabled == (name == "topics"), name
        assert disabled or service["healthcheck"]["test"][0] == "CMD", name


def test_the_worker_starts_after_its_dependencies() -> None:
    """Broker and index are healthy and the topics exist."""
    assert LOCAL["services"]["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert LOCAL["services"]["worker"]["depends_on"] == {
        "topics": {"condition": "service_completed_successfully"},
        "kafka": {"condition": "service_healthy"},
        "qdrant": {"condition": "service_healthy"},
    }
    assert LOCAL["services"]["topics"]["command"] == ["facestream", "topics"]


def test_ports_are_published_on_loopback_only() -> None:
    """A development machine does not expose its broker to the network."""
    ports = [port for one in LOCAL["services"].values() for port in one.get("ports", ())]
    assert ports
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]


def test_observability_is_optional_and_its_files_exist() -> None:
    """Prometheus and Grafana start only with their profile, and mount existing folders."""
    profiles = {name: one.get("profiles", []) for name, one in LOCAL["services"].items()}
    assert {name for name, wanted in profiles.items() if wanted} == {"prometheus", "grafana"}
    for name in ("prometheus", "grafana"):
        for volume in LOCAL["services"][name]["volumes"]:
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).is_dir(), volume


def test_production_updates_one_replica_at_a_time() -> None:
    """As the older plan: three replicas, 10 s between updates, restarts on failure."""
    deploy = STACK["services"]["worker"]["deploy"]
    assert deploy["replicas"] == 3
    assert deploy["update_config"]["parallelism"] == 1
    assert deploy["update_config"]["delay"] == "10s"
    restart = deploy["restart_policy"]
    assert {"condition": "on-failure", "delay": "5s", "max_attempts": 3}.items() <= restart.items()


def test_production_runs_one_inference_thread_per_core_of_its_limit() -> None:
    """A process cannot see a CPU quota, and threads beyond it would be throttled."""
    worker = STACK["services"]["worker"]
    cpus = worker["deploy"]["resources"]["limits"]["cpus"]
    assert service_environment(worker)["INFERENCE_THREADS"] == cpus


@pytest.mark.parametrize("service", [LOCAL["services"]["worker"], STACK["services"]["worker"]])
def test_legacy_service_names_and_ports_reach_the_worker(service: dict[str, Any]) -> None:
    """``FACE_DETECTION_SERVICE=http://face-detection-service:8001`` keeps working."""
    (network,) = service["networks"].values()
    assert {"face-detection-service", "face-embedding-service"} <= set(network["aliases"])
    assert service_environment(service)["LEGACY_PORTS"] == "8001,8002"


def test_addresses_in_the_production_sample_reach_the_worker() -> None:
    """Each host name is a network alias of the worker, and each port one of its ports."""
    worker = STACK["services"]["worker"]
    (network,) = worker["networks"].values()
    ports = service_environment(worker)["LEGACY_PORTS"].split(",")
    text = (ROOT / ".env.production").read_text(encoding="utf-8")
    addresses = re.findall(r"FACE_\w+_SERVICE=http://([\w-]+):(\d+)", text)
    assert len(addresses) == 2
    for name, port in addresses:
        assert name in network["aliases"]
        assert port in ports


def test_the_qdrant_server_fits_the_locked_client() -> None:
    """The client requires the same major version, and minor versions at most one apart."""
    lock = (ROOT / "locks/image.lock").read_text(encoding="utf-8")
    (line,) = (line for line in lock.splitlines() if line.startswith("qdrant-client=="))
    client = line.split("==")[1].split()[0].split(".")
    server = LOCAL["services"]["qdrant"]["image"].partition(":v")[2].split(".")
    assert client[0] == server[0]
    assert abs(int(client[1]) - int(server[1])) <= 1


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check_of_qdrant_reads_the_status(status: int | None, healthy: bool) -> None:
    """Its image has no curl, so bash sends the request: only 200 of ``/readyz`` is healthy."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert status is not None
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        port = server.server_port
        if status is None:
            server.server_close()
        else:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        _, *command = LOCAL["services"]["qdrant"]["healthcheck"]["test"]
        command[-1] = command[-1].replace("6333", str(port))
        ran = subprocess.run(command, check=False, capture_output=True, timeout=20)
        if status is not None:
            server.shutdown()
    assert (ran.returncode == 0) == healthy, ran.stderr
