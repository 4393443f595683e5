"""Settings: their sources, wrong values, and secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streams.config.settings import Settings, load_settings
from streams.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("no_environment")


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """Return the error message for these environment variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return str(caught.value)


def test_without_any_variable_the_defaults_apply() -> None:
    """A fresh machine needs no configuration."""
    settings = load_settings()
    assert settings.bootstrap_servers == "127.0.0.1:9092"
    assert settings.qdrant_url is None
    assert settings.use_real_ml
    assert settings.fallback_to_simulated
    assert settings.image_uri_allow == ()


def test_every_setting_is_read_from_the_variable_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The names of the older system keep their meaning."""
    monkeypatch.setenv("USE_REAL_ML", "false")
    monkeypatch.setenv("FALLBACK_TO_SIMULATED", "0")
    monkeypatch.setenv("ML_SERVICE_TIMEOUT", "1500")
    monkeypatch.setenv("MODEL_PATH", "~/weights")
    monkeypatch.setenv("LOG_LEVEL", "WARN")
    monkeypatch.setenv("PORT", "8080")
    settings = load_settings()
    assert not settings.use_real_ml
    assert not settings.fallback_to_simulated
    assert settings.ml_service_timeout == 1500
    assert settings.model_path == Path.home() / "weights"
    assert settings.log_level == "warning"
    assert settings.port == 8080


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("KAFKA_PORT", "tcp://10.0.0.7:9092", "valid integer"),
        ("KAFKA_PORT", "70000", "65535"),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:9092,b", "found 'b'"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:9092,", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", ":9092", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:99999", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka://a", "host:port"),
        ("KAFKA_TOPIC_PREFIX", "Team_A", "pattern"),
        ("KAFKA_PARTITIONS", "0", "greater than or equal to 1"),
        ("KAFKA_MAX_MESSAGE_BYTES", "10", "greater than or equal to 65536"),
        ("KAFKA_SESSION_TIMEOUT_S", "soon", "valid number"),
        ("INFERENCE_THREADS", "0", "greater than or equal to 1"),
        ("ML_ATTEMPTS", "11", "less than or equal to 10"),
        ("ML_SERVICE_TIMEOUT", "5 s", "valid integer"),
        ("USE_REAL_ML", "maybe", "valid boolean"),
        ("SIMULATED_ML_THRESHOLD", "1.1", "less than or equal to 1"),
        ("SIMULATED_ML_THRESHOLD", "-0.1", "greater than or equal to 0"),
        ("REAL_ML_ROLLOUT_PERCENT", "101", "less than or equal to 100"),
        ("CIRCUIT_PROBE_S", "0", "greater than 0"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LOG_FORMAT", "xml", "'auto', 'json' or 'console'"),
        ("PORT", "0", "greater than or equal to 1"),
    ],
)
def test_an_error_names_the_variable_its_value_and_the_expected_values(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    """The operator can correct it without reading the code."""
    message = refusal(monkeypatch, **{name: value})
    assert f"  {name}: " in message
    assert expected in message
    assert repr(value) in message


def test_one_error_names_all_wrong_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five mistakes do not take five starts."""
    message = refusal(monkeypatch, PORT="x", KAFKA_PARTITIONS="y", LOG_LEVEL="z")
    assert message.count("\n  ") == 3


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and charts pass unset variables on as empty ones."""
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    monkeypatch.setenv("ENV_FILE", "")
    assert load_settings() == Settings(_env_file=None)


def test_the_environment_overrides_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``.env`` in the working folder is read when ``ENV_FILE`` is unset."""
    (tmp_path / ".env").write_text("KAFKA_GROUP_ID=file\nPORT=7000\nQDRANT_URL=\nUNKNOWN=1\n")
    monkeypatch.setenv("PORT", "7001")
    settings = load_settings()
    assert (settings.kafka_group_id, settings.port) == ("file", 7001)
    assert settings.qdrant_url is None


def test_env_file_replaces_the_default_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``.env`` in the working folder is not read then."""
    (tmp_path / ".env").write_text("KAFKA_GROUP_ID=left\n")
    (tmp_path / "other.env").write_text("PORT=7000\n")
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "other.env"))
    settings = load_settings()
    assert (settings.kafka_group_id, settings.port) == ("facestream", 7000)


def test_a_missing_env_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start with the defaults would connect to the wrong broker."""
    assert "ENV_FILE=nowhere.env: no such file" in refusal(monkeypatch, ENV_FILE="nowhere.env")


@pytest.mark.parametrize("name", ["other.env", ".env"])
def test_an_env_file_that_is_not_text_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """The message names the file and the byte."""
    (tmp_path / name).write_bytes(b"PORT=7000\n# caf\xe9\n")
    message = refusal(monkeypatch, ENV_FILE="" if name == ".env" else name)
    assert message == f"ENV_FILE={name} is not text in UTF-8 (byte 15)"


def test_an_env_file_without_read_permission_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message names the user: the usual mistake is a file that only root may read."""
    (tmp_path / "other.env").write_text("PORT=7000\n")

    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", forbidden)  # the tests may run as root
    message = refusal(monkeypatch, ENV_FILE="other.env")
    assert "ENV_FILE=other.env cannot be read: Permission denied" in message
    assert f"user {os.getuid()}" in message


def test_an_error_in_an_env_file_names_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message names the setting too."""
    (tmp_path / "other.env").write_text("PORT=none\n")
    message = refusal(monkeypatch, ENV_FILE="other.env")
    assert "other.env" in message
    assert "PORT" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://a/", ("s3://a/",)),
        ("s3://a/, file:///b ,", ("s3://a/", "file:///b")),
        (" , ", ()),
    ],
)
def test_a_list_is_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[str, ...]
) -> None:
    """Blanks around entries and empty entries are ignored."""
    monkeypatch.setenv("IMAGE_URI_ALLOW", text)
    assert load_settings().image_uri_allow == expected


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the log line at start, nor a repr, nor a URL shows them."""
    monkeypatch.setenv("QDRANT_API_KEY", "hunter2")
    monkeypatch.setenv("QDRANT_URL", "https://me:hunter3@index.example:6333")
    settings = load_settings()
    masked = settings.masked()
    assert "hunter" not in str(masked)
    assert "hunter2" not in repr(settings)
    assert masked["QDRANT_URL"] == "https://index.example:6333"
    assert masked["QDRANT_API_KEY"] == "**********"
    assert settings.qdrant_api_key is not None
    assert settings.qdrant_api_key.get_secret_value() == "hunter2"


def test_an_error_does_not_show_a_wrong_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message goes to a log."""
    message = refusal(monkeypatch, API_TOKEN="hunter2")
    assert "API_TOKEN: " in message
    assert "at least 16" in message
    assert "hunter2" not in message


def test_the_masked_settings_contain_every_setting() -> None:
    """The log line at start shows how a worker is configured."""
    masked = load_settings().masked()
    assert set(masked) == {name.upper() for name in Settings.model_fields}
    assert masked["KAFKA_PARTITIONS"] == "8"


def test_settings_are_frozen() -> None:
    """They do not change after the start."""
    settings: Any = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_threads_default_to_the_cores_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container may have fewer cores than the machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6}, raising=False)
    assert load_settings().threads == 3
    assert load_settings(inference_threads=2).threads == 2


def test_threads_default_to_all_cores_without_an_affinity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """macOS has none."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert load_settings().threads == 10
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert load_settings().threads == 1


def test_stop_and_rebalance_wait_longer_than_a_drain() -> None:
    """Each ends after the step that it waits for."""
    default, slow = load_settings(), load_settings(drain_timeout_s=60)
    assert (default.stop_timeout_s, default.rebalance_timeout_s) == (40, 60)
    assert (slow.stop_timeout_s, slow.rebalance_timeout_s) == (80, 100)


def test_legacy_ports_are_a_list_of_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are none by default."""
    assert load_settings().legacy_ports == ()
    monkeypatch.setenv("LEGACY_PORTS", "8001, 8002")
    assert load_settings().legacy_ports == (8001, 8002)
    assert "LEGACY_PORTS" in refusal(monkeypatch, LEGACY_PORTS="8001,http")
    assert "LEGACY_PORTS" in refusal(monkeypatch, LEGACY_PORTS="70000")


def test_no_two_sections_define_the_same_name() -> None:
    """A field, property or validator in two sections would silently replace the other one."""
    owners: dict[str, list[str]] = {}
    for section in Settings.__bases__:
        for name in {*vars(section), *section.__annotations__}:
            if not name.startswith("__") and name not in {"model_config", "_abc_impl"}:
                owners.setdefault(name, []).append(section.__name__)
    assert {} == {name: sections for name, sections in owners.items() if len(sections) > 1}
