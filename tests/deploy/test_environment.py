"""Each variable in the deployment files is a setting, and each value is valid for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.config.settings import Settings, load_settings
from streams.config.unknown_settings import unknown_settings
from streams.kafka.topic_creation import needed_topics
from tests.deploy.files import (
    ENV_SAMPLES,
    ROOT,
    compose,
    our_pods,
    our_services,
    pod_environment,
    sample,
    service_environment,
)

KNOWN = {name.upper() for name in Settings.model_fields} | {"ENV_FILE"}
#: Values that a secret store adds to the files.
SECRETS = {
    "API_TOKEN": "0123456789abcdef",
    "KAFKA_SASL_PASSWORD": "a password",
    "QDRANT_API_KEY": "a key",
}
ENVIRONMENTS = [
    *(pytest.param(sample(name), id=name) for name in ENV_SAMPLES),
    *(
        pytest.param(service_environment(service), id=f"{file}:{name}")
        for file, name, service in our_services()
    ),
    *(pytest.param(pod_environment(pod), id=f"kubernetes:{name}") for name, pod in our_pods()),
]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Variables of the developer's shell must not change the result.
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_variable_is_a_setting(environment: Mapping[str, str]) -> None:
    """A misspelt or renamed setting would be ignored silently."""
    assert set() == set(environment) - KNOWN


@pytest.mark.parametrize("name", ENV_SAMPLES)
def test_a_sample_causes_no_warning(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings know each name in it."""
    monkeypatch.setenv("ENV_FILE", str(ROOT / name))
    assert [] == unknown_settings()


def test_variables_of_the_compose_files_cause_no_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Compose and the settings read the same ``.env`` file."""
    asked: set[str] = set()
    for file in ROOT.glob("docker-compose*.yml"):
        asked |= set(re.findall(r"\$\{(\w+)", file.read_text(encoding="utf-8")))
    assert "FACESTREAM_IMAGE" in asked
    (tmp_path / "shared.env").write_text("".join(f"{name}=x\n" for name in asked))
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "shared.env"))
    assert [] == unknown_settings()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_value_is_valid(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings load from the environment with the secrets added."""
    for name, value in {**environment, **SECRETS}.items():
        if name != "ENV_FILE":
            monkeypatch.setenv(name, value)
    if "KAFKA_SECURITY_PROTOCOL" not in environment:
        monkeypatch.delenv("KAFKA_SASL_PASSWORD")
    settings = load_settings()
    for name in set(environment) - {"ENV_FILE"}:
        assert name.lower() in settings.model_fields_set or environment[name] == "", name


@pytest.mark.parametrize(
    ("name", "real"),
    [(".env.development", False), (".env.staging", True), (".env.production", True)],
)
def test_a_sample_matches_the_older_plan(
    name: str, real: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Development is simulated, staging and production are real, with the plan's timeout."""
    monkeypatch.setenv("ENV_FILE", str(ROOT / name))
    if name == ".env.production":
        monkeypatch.setenv("KAFKA_SASL_PASSWORD", SECRETS["KAFKA_SASL_PASSWORD"])
    settings = load_settings()
    assert settings.use_real_ml is real
    assert settings.fallback_to_simulated is True
    assert settings.ml_service_timeout == 5000
    assert (settings.kafka_bootstrap_servers is None) == (name == ".env.development")


def test_a_sample_holds_no_secret() -> None:
    """Samples are committed to the repository."""
    for name in ENV_SAMPLES:
        assert set() == set(sample(name)) & set(SECRETS), name


def test_each_sample_sets_the_same_behaviour() -> None:
    """Switching from one sample to another leaves no setting to its default by accident."""
    behaviour = {
        "USE_REAL_ML",
        "FALLBACK_TO_SIMULATED",
        "SIMULATED_ML_THRESHOLD",
        "ML_SERVICE_TIMEOUT",
        "REAL_ML_ROLLOUT_PERCENT",
        "SHADOW_ML",
        "RESULT_FORMAT",
    }
    for name in ENV_SAMPLES:
        assert behaviour <= set(sample(name)), name


def test_only_the_topics_command_may_create_topics() -> None:
    """Workers have ``KAFKA_CREATE_TOPICS=false``, with which ``facestream topics`` would fail."""
    services = {name: service for file, name, service in our_services() if file.endswith("e.yml")}
    pods = dict(our_pods())
    assert service_environment(services["topics"]).get("KAFKA_CREATE_TOPICS", "true") == "true"
    assert service_environment(services["worker"])["KAFKA_CREATE_TOPICS"] == "false"
    assert pod_environment(pods["topics"])["KAFKA_CREATE_TOPICS"] == "true"
    assert pod_environment(pods["worker"])["KAFKA_CREATE_TOPICS"] == "false"


@pytest.mark.parametrize("variables", [{}, {"SHADOW_ML": "true"}], ids=["real", "shadow"])
def test_the_created_topics_are_those_that_the_worker_needs(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``SHADOW_ML`` the topic of shadow results must exist before the worker starts."""
    services = compose("docker-compose.yml", variables)["services"]
    pods = dict(our_pods())
    for created, needed in (
        (service_environment(services["topics"]), service_environment(services["worker"])),
        (pod_environment(pods["topics"]), pod_environment(pods["worker"])),
    ):
        assert _topics(created, monkeypatch) == _topics(needed, monkeypatch)
    shadowed = variables.get("SHADOW_ML") == "true"
    assert shadowed == (
        "shadow-scored" in _topics(service_environment(services["topics"]), monkeypatch)
    )


def _topics(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    with monkeypatch.context() as patched:
        for name in ("SHADOW_ML", "KAFKA_TOPIC_PREFIX"):
            if name in environment:
                patched.setenv(name, environment[name])
        return needed_topics(load_settings())


def test_the_local_stack_follows_a_sample() -> None:
    """It is simulated with ``--env-file .env.development``, and real without it."""
    development = sample(".env.development")
    worker = compose("docker-compose.yml", development)["services"]["worker"]
    assert worker["environment"]["USE_REAL_ML"] == "false"
    for name in set(worker["environment"]) & set(development):
        assert worker["environment"][name] == development[name], name
    assert (
        compose("docker-compose.yml")["services"]["worker"]["environment"]["USE_REAL_ML"] == "true"
    )
