"""Kafka settings that contradict each other."""

from __future__ import annotations

import pytest

from streams.config.settings import load_settings
from streams.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("no_environment")

USER = {"KAFKA_SASL_USERNAME": "grace", "KAFKA_SASL_PASSWORD": "hopper"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "a"},
            "KAFKA_SASL_PASSWORD",
        ),
        (USER, "KAFKA_SECURITY_PROTOCOL is not"),
        ({"KAFKA_SSL_CA_FILE": "/nowhere"}, "KAFKA_SECURITY_PROTOCOL is not"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_FILE": "/nowhere"},
            "KAFKA_SSL_CA_FILE=/nowhere: no such file",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_FILE": __file__},
            "KAFKA_SSL_KEY_FILE needs KAFKA_SSL_CERT_FILE",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_PASSWORD": "secret"},
            "KAFKA_SSL_KEY_PASSWORD needs KAFKA_SSL_CERT_FILE",
        ),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_BOOTSTRAP_SERVERS": ""}, "embedded broker"),
        (
            {"KAFKA_MIN_INSYNC_REPLICAS": "2", "KAFKA_REPLICATION": "1"},
            "KAFKA_MIN_INSYNC_REPLICAS must not be more than KAFKA_REPLICATION",
        ),
    ],
)
def test_an_error_names_the_variable_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    """A client that ignored one of them would fail later, or connect without encryption."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9093")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert message in str(caught.value)
    assert "hopper" not in str(caught.value)
    assert "secret" not in str(caught.value)
