"""Broker addresses and credentials in Faust's form."""

from __future__ import annotations

from faust.auth import SASLCredentials, SSLCredentials

from streams.config.kafka_settings import KafkaSettings
from streams.kafka.security import sasl_password, ssl_context


def faust_broker_urls(settings: KafkaSettings) -> str:
    """Return the brokers as Faust expects them: URLs separated by semicolons."""
    return ";".join(
        f"aiokafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")
    )


def faust_credentials(settings: KafkaSettings) -> SASLCredentials | SSLCredentials | None:
    """Return the credentials for Faust's clients, or None for PLAINTEXT."""
    context = ssl_context(settings)
    if settings.uses_sasl:
        return SASLCredentials(
            username=settings.kafka_sasl_username,
            password=sasl_password(settings),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None
