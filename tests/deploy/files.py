"""Read the deployment files, with their variables interpolated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILES = ("docker-compose.yml", "docker-compose.prod.yml")
ENV_SAMPLES = (".env.development", ".env.staging", ".env.production")
MANIFESTS = tuple(
    sorted(path.name for path in (ROOT / "deploy/kubernetes").glob("*.yaml"))
)  # kustomization.yaml among them
#: The name of this project's image in the compose files and manifests.
OUR_IMAGE = re.compile(r"^facestream(:|$)")

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z_]+)(:-(?P<default>[^}]*))?\}")


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace ``${NAME:-default}`` and ``$$`` in a value, as compose does."""
    if isinstance(value, dict):
        return {key: interpolated(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, variables) for one in value]
    if isinstance(value, str):
        return _VARIABLE.sub(
            lambda match: (
                "$"
                if match[0] == "$$"
                else variables.get(match["name"], "") or match["default"] or ""
            ),
            value,
        )
    return value


def compose(name: str, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read a compose file and interpolate its variables."""
    loaded = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    result: dict[str, Any] = interpolated(loaded, variables or {})
    return result


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each Kubernetes object with the name of its file."""
    for name in MANIFESTS:
        text = (ROOT / "deploy/kubernetes" / name).read_text(encoding="utf-8")
        for document in yaml.safe_load_all(text):
            yield name, document


def manifest(kind: str, name: str) -> dict[str, Any]:
    """Return the only Kubernetes object of this kind and name."""
    (found,) = (
        one
        for _, one in manifests()
        if one["kind"] == kind and one.get("metadata", {}).get("name") == name
    )
    return found


def sample(name: str) -> dict[str, str]:
    """Read the variables of an environment sample."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(
        line.split("=", 1) for line in lines if line.strip() and not line.lstrip().startswith("#")
    )


def seconds(duration: str) -> float:
    """Convert a compose duration of one unit, like ``60s``, to seconds."""
    amount, unit = re.fullmatch(r"(\d+)(s|m)", duration).groups()  # type: ignore[union-attr]
    return float(amount) * {"s": 1, "m": 60}[unit]


def our_services() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield file, name and definition of each compose service that runs this project's image."""
    for file in COMPOSE_FILES:
        for name, service in compose(file)["services"].items():
            if OUR_IMAGE.match(service["image"]):
                yield file, name, service


def service_environment(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of a compose service's process."""
    environment: dict[str, str] = {}
    for file in service.get("env_file", ()):
        environment |= sample(file)
    return {**environment, **service.get("environment", {})}


def our_pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and pod specification of each workload that runs this project's image."""
    for _, one in manifests():
        if one["kind"] in ("Deployment", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def pod_environment(pod: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of a pod's process, with the example secrets."""
    (container,) = pod["containers"]
    environment: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            environment |= manifest("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            environment |= manifest("Secret", source["secretRef"]["name"])["stringData"]
    for one in container["env"]:
        limits = container["resources"]["limits"]
        environment[one["name"]] = one.get("value") or limits["cpu"]
    return environment
