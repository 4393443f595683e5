"""The settings: where they come from, what is refused, and what is never shown."""

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
    """What is said of these environment variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return str(caught.value)


def test_without_any_variable_the_defaults_hold() -> None:
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
    """The older system's names among them, and their meaning."""
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
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LOG_FORMAT", "xml", "'auto', 'json' or 'console'"),
        ("PORT", "0", "greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_told_by_variable_value_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    """So that it can be put right without reading the code."""
    message = refusal(monkeypatch, **{name: value})
    assert f"  {name}: " in message
    assert expected in message
    assert repr(value) in message


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody should have to start five times to find five mistakes."""
    message = refusal(monkeypatch, PORT="x", KAFKA_PARTITIONS="y", LOG_LEVEL="z")
    assert message.count("\n  ") == 3


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"STOP_TIMEOUT_S": "10"}, "STOP_TIMEOUT_S must be longer than DRAIN_TIMEOUT_S"),
        ({"DRAIN_TIMEOUT_S": "40"}, "STOP_TIMEOUT_S must be longer than DRAIN_TIMEOUT_S"),
        (
            {"DRAIN_TIMEOUT_S": "60", "STOP_TIMEOUT_S": "90"},
            "KAFKA_REBALANCE_TIMEOUT_S must be longer than DRAIN_TIMEOUT_S",
        ),
        (
            {"KAFKA_REPLICATION": "2", "KAFKA_MIN_INSYNC_REPLICAS": "3"},
            "KAFKA_MIN_INSYNC_REPLICAS must not be more than KAFKA_REPLICATION",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], says: str
) -> None:
    """A drain has to end before the stop or the rebalance that waits for it, and so on."""
    assert says in refusal(monkeypatch, **variables)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and charts pass on variables that nobody set."""
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    monkeypatch.setenv("ENV_FILE", "")
    assert load_settings() == Settings(_env_file=None)


def test_values_come_from_the_env_file_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A .env in the working folder is read where ENV_FILE names none."""
    (tmp_path / ".env").write_text("KAFKA_GROUP_ID=file\nPORT=7000\nQDRANT_URL=\nUNKNOWN=1\n")
    monkeypatch.setenv("PORT", "7001")
    settings = load_settings()
    assert (settings.kafka_group_id, settings.port) == ("file", 7001)
    assert settings.qdrant_url is None


def test_env_file_names_another_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the one in the working folder is not looked at."""
    (tmp_path / ".env").write_text("KAFKA_GROUP_ID=left\n")
    (tmp_path / "other.env").write_text("PORT=7000\n")
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "other.env"))
    settings = load_settings()
    assert (settings.kafka_group_id, settings.port) == ("facestream", 7000)


def test_an_env_file_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting with the defaults instead would talk to the wrong broker."""
    assert "ENV_FILE=nowhere.env: no such file" in refusal(monkeypatch, ENV_FILE="nowhere.env")


@pytest.mark.parametrize("name", ["other.env", ".env"])
def test_an_env_file_that_is_no_text_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """By its name and the place, not with a traceback."""
    (tmp_path / name).write_bytes(b"PORT=7000\n# caf\xe9\n")
    message = refusal(monkeypatch, ENV_FILE="" if name == ".env" else name)
    assert message == f"ENV_FILE={name} is not text in UTF-8 (byte 15)"


def test_an_env_file_that_may_not_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the user that wants to: the usual mistake is a file that only root may read."""
    (tmp_path / "other.env").write_text("PORT=7000\n")

    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", forbidden)  # the tests may run as root
    message = refusal(monkeypatch, ENV_FILE="other.env")
    assert "ENV_FILE=other.env cannot be read: Permission denied" in message
    assert f"user {os.getuid()}" in message


def test_a_wrong_value_in_an_env_file_names_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There it can be corrected."""
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
    """Blanks around entries and empty entries do not count."""
    monkeypatch.setenv("IMAGE_URI_ALLOW", text)
    assert load_settings().image_uri_allow == expected


def test_secrets_are_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start's log line, a repr in a traceback, and the credentials inside a URL."""
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


def test_a_wrong_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message goes to a log."""
    message = refusal(monkeypatch, API_TOKEN="hunter2")
    assert "API_TOKEN: " in message
    assert "at least 16" in message
    assert "hunter2" not in message


def test_what_is_shown_has_every_setting_by_its_variable() -> None:
    """So that a log says how a worker was set up."""
    masked = load_settings().masked()
    assert set(masked) == {name.upper() for name in Settings.model_fields}
    assert masked["KAFKA_PARTITIONS"] == "8"


def test_settings_do_not_change_after_start() -> None:
    """They are frozen."""
    settings: Any = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_threads_default_to_the_cores_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not to those of the machine: a container may have fewer."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6}, raising=False)
    settings = load_settings()
    assert settings.threads == 3
    assert settings.in_flight == 3 * 64


def test_threads_default_to_all_cores_where_the_system_cannot_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """macOS has no affinity."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert load_settings().threads == 10
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert load_settings().threads == 1


def test_threads_and_events_in_flight_can_be_set() -> None:
    """The bound on events follows the threads, unless it is set itself."""
    assert load_settings(inference_threads=2).in_flight == 128
    assert load_settings(inference_threads=2, max_in_flight=10).in_flight == 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIMULATED_ML_THRESHOLD", "1.1"),
        ("SIMULATED_ML_THRESHOLD", "-0.1"),
        ("REAL_ML_ROLLOUT_PERCENT", "101"),
        ("CIRCUIT_PROBE_S", "0"),
        ("CIRCUIT_WINDOW", "0"),
    ],
)
def test_shares_and_counts_out_of_range_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A share of 70 where 0.7 was meant would keep the circuit open for ever."""
    assert name in refusal(monkeypatch, **{name: value})


def test_a_circuit_needs_a_window_as_large_as_its_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it could never open."""
    told = refusal(monkeypatch, CIRCUIT_WINDOW="10", CIRCUIT_MIN_ATTEMPTS="11")
    assert "CIRCUIT_MIN_ATTEMPTS must not be more than CIRCUIT_WINDOW" in told


def test_the_older_ports_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ports; none unless set."""
    assert load_settings().legacy_ports == ()
    monkeypatch.setenv("LEGACY_PORTS", "8001, 8002")
    assert load_settings().legacy_ports == (8001, 8002)
    assert "LEGACY_PORTS" in refusal(monkeypatch, LEGACY_PORTS="8001,http")
    assert "LEGACY_PORTS" in refusal(monkeypatch, LEGACY_PORTS="70000")


def test_requests_at_once_default_to_some_for_each_thread() -> None:
    """As many as are done within the older clients' five seconds."""
    assert load_settings(inference_threads=4).http_pending == 64
    assert load_settings(inference_threads=4, http_max_pending=3).http_pending == 3
