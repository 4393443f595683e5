"""Settings of Kafka: brokers, consumer group, topics, security."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streams.config.section import MIB, HomePath, Port, Section

SSL_FILES = ("kafka_ssl_ca_file", "kafka_ssl_cert_file", "kafka_ssl_key_file")
SSL_FIELDS = (*SSL_FILES, "kafka_ssl_key_password")
SASL_FIELDS = ("kafka_sasl_username", "kafka_sasl_password")


class KafkaSettings(Section):
    """Addresses and security of the brokers, and the options of new topics."""

    kafka_bootstrap_servers: str | None = Field(
        None,
        description="Brokers, `host:port` separated by commas. "
        "Unset: the embedded broker at `127.0.0.1:KAFKA_PORT`.",
    )
    kafka_port: Port = Field(9092, description="Port of the embedded broker.")
    kafka_group_id: str = Field(
        "facestream", min_length=1, description="Consumer group of the workers."
    )
    kafka_topic_prefix: str = Field(
        "",
        pattern=r"^[a-z0-9.-]*$",
        description="Prefix of every topic name, for a cluster shared with others.",
    )
    kafka_create_topics: bool = Field(
        True, description="Create missing topics at start. Off: they must exist."
    )
    kafka_partitions: int = Field(
        8, ge=1, le=10_000, description="Partitions of the topics that facestream creates."
    )
    kafka_replication: int = Field(
        1, ge=1, le=10, description="Replication factor of the topics that facestream creates."
    )
    kafka_max_message_bytes: int = Field(
        8 * MIB,
        ge=64 * 1024,
        description="Largest message, in bytes: the limit of the producers, and "
        "`max.message.bytes` of the topics that facestream creates.",
    )
    kafka_session_timeout_s: float = Field(
        30,
        ge=3,
        description="A worker that sends no heartbeat for this many seconds loses its partitions. "
        "Apache Kafka accepts 6 or more by default (`group.min.session.timeout.ms`).",
    )
    kafka_fetch_max_wait_ms: int = Field(
        500,
        ge=1,
        le=30_000,
        description="Longest time, in milliseconds, that the broker holds a fetch request while "
        "there are no new records. Apache Kafka responds as soon as a record arrives; the embedded "
        "broker looks for new records only after half of this time.",
    )
    kafka_min_insync_replicas: int | None = Field(
        None,
        ge=1,
        le=10,
        description="`min.insync.replicas` of the topics that facestream creates. With a "
        "replication factor of 3, a value of 2 keeps every acknowledged event when one broker is "
        "lost. Unset: the cluster's default.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Security protocol of the connections to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism."
    )
    kafka_sasl_username: str | None = Field(None, min_length=1, description="SASL user name.")
    kafka_sasl_password: SecretStr | None = Field(None, description="SASL password.")
    kafka_ssl_ca_file: HomePath | None = Field(
        None,
        description="PEM file with the certificate authorities that sign the brokers' "
        "certificates. Unset: the system's authorities.",
    )
    kafka_ssl_cert_file: HomePath | None = Field(
        None, description="PEM file with the client certificate, for clusters that require one."
    )
    kafka_ssl_key_file: HomePath | None = Field(
        None,
        description="PEM file with the key of the client certificate. Unset: the key is in "
        "`KAFKA_SSL_CERT_FILE`.",
    )
    kafka_ssl_key_password: SecretStr | None = Field(
        None, description="Password of the key, when it is encrypted."
    )

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _check_servers(cls, value: str | None) -> str | None:
        for server in value.split(",") if value else ():
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"expected host:port[,host:port...], found {server.strip()!r}")
        return value

    @model_validator(mode="after")
    def _check_replicas(self) -> Self:
        if (self.kafka_min_insync_replicas or 0) > self.kafka_replication:
            raise ValueError("KAFKA_MIN_INSYNC_REPLICAS must not be more than KAFKA_REPLICATION")
        return self

    @model_validator(mode="after")
    def _check_security(self) -> Self:
        protocol = self.kafka_security_protocol
        given = self._given(*SSL_FIELDS, *SASL_FIELDS)
        if given and "kafka_security_protocol" not in self.model_fields_set:
            # An explicit PLAINTEXT is allowed beside credentials, and ignores them.
            raise ValueError(
                f"{min(given).upper()} is set, but KAFKA_SECURITY_PROTOCOL is not; its default, "
                "PLAINTEXT, would ignore it"
            )
        if protocol != "PLAINTEXT" and self.kafka_bootstrap_servers is None:
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={protocol} needs KAFKA_BOOTSTRAP_SERVERS: the embedded "
                "broker supports PLAINTEXT only"
            )
        if self.uses_sasl:
            for name in SASL_FIELDS:
                if name not in given:
                    raise ValueError(f"KAFKA_SECURITY_PROTOCOL={protocol} needs {name.upper()}")
        if self.uses_ssl:
            self._check_ssl_files()
        return self

    def _check_ssl_files(self) -> None:
        for name in SSL_FILES:
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name.upper()}={path}: no such file")
        for name in self._given("kafka_ssl_key_file", "kafka_ssl_key_password"):
            if self.kafka_ssl_cert_file is None:
                raise ValueError(f"{name.upper()} needs KAFKA_SSL_CERT_FILE")

    def _given(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]

    @property
    def bootstrap_servers(self) -> str:
        """The brokers to connect to, ``host:port`` separated by commas."""
        return self.kafka_bootstrap_servers or f"127.0.0.1:{self.kafka_port}"

    @property
    def uses_ssl(self) -> bool:
        """Whether connections are encrypted."""
        return self.kafka_security_protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether clients authenticate with a user name and password."""
        return self.kafka_security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")
