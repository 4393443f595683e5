"""TLS and SASL options of every aiokafka client.

The TLS context always verifies the broker's certificate and its host name.
"""

from __future__ import annotations

import ssl

from streams.config.kafka_settings import KafkaSettings
from streams.errors import ConfigurationError


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """Return the TLS context, or None for connections without TLS.

    Raises ``ConfigurationError``, which names the variable of a file that cannot be used.
    """
    if not settings.uses_ssl:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"KAFKA_SSL_CA_FILE={settings.kafka_ssl_ca_file}: not PEM certificates ({error})"
        ) from error
    _load_client_certificate(context, settings)
    return context


def _load_client_certificate(context: ssl.SSLContext, settings: KafkaSettings) -> None:
    certificate, key = settings.kafka_ssl_cert_file, settings.kafka_ssl_key_file
    if certificate is None:
        return
    password = settings.kafka_ssl_key_password
    try:
        # An empty password, not None: with None, OpenSSL asks for one at the terminal.
        context.load_cert_chain(
            certificate, key, password=password.get_secret_value() if password else ""
        )
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"KAFKA_SSL_CERT_FILE={certificate} with KAFKA_SSL_KEY_FILE={key}: not a certificate "
            f"and its key in PEM, or KAFKA_SSL_KEY_PASSWORD does not open the key ({error})"
        ) from error


def security_options(settings: KafkaSettings) -> dict[str, object]:
    """Return protocol and credentials as keyword arguments of aiokafka's clients."""
    options: dict[str, object] = {"security_protocol": settings.kafka_security_protocol}
    context = ssl_context(settings)
    if context is not None:
        options["ssl_context"] = context
    if settings.uses_sasl:
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": sasl_password(settings),
        }
    return options


def sasl_password(settings: KafkaSettings) -> str | None:
    """Return the SASL password, or None when none is set."""
    password = settings.kafka_sasl_password
    return password.get_secret_value() if password else None
