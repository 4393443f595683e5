"""Security options of the Kafka clients."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from streams.config.settings import load_settings
from streams.engine.credentials import faust_credentials
from streams.errors import ConfigurationError
from streams.kafka.connection import client_options
from streams.kafka.security import ssl_context

pytestmark = pytest.mark.usefixtures("no_environment")

SERVERS = {"KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093"}
USER = {"KAFKA_SASL_USERNAME": "grace", "KAFKA_SASL_PASSWORD": "hopper"}


def given(monkeypatch: pytest.MonkeyPatch, *groups: dict[str, str], **variables: str) -> None:
    for group in (*groups, variables):
        for name, value in group.items():
            monkeypatch.setenv(name, value)


def test_plaintext_is_the_default() -> None:
    """There are no credentials and no TLS context."""
    settings = load_settings()
    assert client_options(settings) == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
    }
    assert faust_credentials(settings) is None


def test_aiokafka_and_faust_get_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the masked settings nor a repr show the password."""
    given(monkeypatch, SERVERS, USER, KAFKA_SECURITY_PROTOCOL="sasl_ssl")
    settings = load_settings()
    options = client_options(settings)
    context = options.pop("ssl_context")
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert options == {
        "bootstrap_servers": "kafka.example:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "grace",
        "sasl_plain_password": "hopper",
    }
    credentials = faust_credentials(settings)
    assert credentials is not None
    assert credentials.protocol.value == "SASL_SSL"
    assert credentials.mechanism.value == "SCRAM-SHA-512"
    assert (credentials.username, credentials.password) == ("grace", "hopper")
    assert "hopper" not in str(settings.masked())
    assert "hopper" not in repr(credentials)


def test_sasl_plaintext_sends_the_password_without_tls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This needs an explicit setting."""
    given(monkeypatch, SERVERS, USER, KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT")
    credentials = faust_credentials(load_settings())
    assert credentials is not None
    assert credentials.protocol.value == "SASL_PLAINTEXT"


def test_an_explicit_plaintext_overrides_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command with its own broker ignores the credentials in the environment."""
    given(monkeypatch, SERVERS, USER, KAFKA_SECURITY_PROTOCOL="PLAINTEXT")
    assert client_options(load_settings())["security_protocol"] == "PLAINTEXT"


@pytest.mark.parametrize("variable", ["KAFKA_SSL_CA_FILE", "KAFKA_SSL_CERT_FILE"])
def test_an_error_names_a_file_that_is_not_pem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """It names the variable and the path."""
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate")
    given(monkeypatch, SERVERS, {variable: str(junk)}, KAFKA_SECURITY_PROTOCOL="SSL")
    with pytest.raises(ConfigurationError, match=f"{variable}={junk}"):
        ssl_context(load_settings())
