"""TLS and SASL towards Kafka, the same for every client of ours.

The context is made from files; a certificate that the broker shows is always verified, and so is
its host name.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faust.auth import SASLCredentials, SSLCredentials

from streams.errors import ConfigurationError

if TYPE_CHECKING:
    from streams.config.settings import Settings

SSL_FILES = ("kafka_ssl_ca_file", "kafka_ssl_cert_file", "kafka_ssl_key_file")
SSL_FIELDS = (*SSL_FILES, "kafka_ssl_key_password")
SASL_FIELDS = ("kafka_sasl_username", "kafka_sasl_password")


def check_security(settings: Settings) -> None:
    """Raise ``ValueError``, which names a variable, when the security settings do not fit."""
    protocol = settings.kafka_security_protocol
    given = {name for name in (*SSL_FIELDS, *SASL_FIELDS) if getattr(settings, name) is not None}
    if given and "kafka_security_protocol" not in settings.model_fields_set:
        # Said explicitly, PLAINTEXT may overrule what else the environment holds.
        raise ValueError(
            f"{min(given).upper()} is set, KAFKA_SECURITY_PROTOCOL is not, and would be PLAINTEXT"
        )
    if protocol != "PLAINTEXT" and settings.kafka_bootstrap_servers is None:
        raise ValueError(
            f"KAFKA_SECURITY_PROTOCOL={protocol} needs KAFKA_BOOTSTRAP_SERVERS: the embedded "
            "broker speaks PLAINTEXT only"
        )
    if uses_sasl(settings):
        for name in SASL_FIELDS:
            if name not in given:
                raise ValueError(f"KAFKA_SECURITY_PROTOCOL={protocol} needs {name.upper()}")
    if uses_ssl(settings):
        _check_files(settings, given)


def _check_files(settings: Settings, given: set[str]) -> None:
    for name in SSL_FILES:
        path: Path | None = getattr(settings, name)
        if path is not None and not path.is_file():
            raise ValueError(f"{name.upper()}={path}: no such file")
    if "kafka_ssl_key_file" in given and "kafka_ssl_cert_file" not in given:
        raise ValueError("KAFKA_SSL_KEY_FILE needs KAFKA_SSL_CERT_FILE")
    if "kafka_ssl_key_password" in given and "kafka_ssl_cert_file" not in given:
        raise ValueError("KAFKA_SSL_KEY_PASSWORD needs KAFKA_SSL_CERT_FILE")


def uses_ssl(settings: Settings) -> bool:
    """Whether connections are encrypted."""
    return settings.kafka_security_protocol in ("SSL", "SASL_SSL")


def uses_sasl(settings: Settings) -> bool:
    """Whether a user name and password are shown to the broker."""
    return settings.kafka_security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context, or None for connections in plain text.

    Raises ``ConfigurationError``, which names the variable of a file that cannot be used.
    """
    if not uses_ssl(settings):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"KAFKA_SSL_CA_FILE={settings.kafka_ssl_ca_file}: not certificates in PEM ({error})"
        ) from error
    if settings.kafka_ssl_cert_file is not None:
        password = settings.kafka_ssl_key_password
        try:
            context.load_cert_chain(
                settings.kafka_ssl_cert_file,
                settings.kafka_ssl_key_file,
                # Never None: OpenSSL would then ask at the terminal for one that it needs.
                password=password.get_secret_value() if password else "",
            )
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"KAFKA_SSL_CERT_FILE={settings.kafka_ssl_cert_file} with "
                f"KAFKA_SSL_KEY_FILE={settings.kafka_ssl_key_file}: not a certificate and its key "
                f"in PEM, or KAFKA_SSL_KEY_PASSWORD does not open the key ({error})"
            ) from error
    return context


def security_options(settings: Settings) -> dict[str, Any]:
    """Protocol and credentials as aiokafka's clients take them."""
    options: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    context = ssl_context(settings)
    if context is not None:
        options["ssl_context"] = context
    if uses_sasl(settings):
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": _password(settings),
        }
    return options


def faust_credentials(settings: Settings) -> SASLCredentials | SSLCredentials | None:
    """The same as Faust takes them; None for plain text."""
    context = ssl_context(settings)
    if uses_sasl(settings):
        return SASLCredentials(
            username=settings.kafka_sasl_username,
            password=_password(settings),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None


def _password(settings: Settings) -> str | None:
    password = settings.kafka_sasl_password
    return password.get_secret_value() if password else None
