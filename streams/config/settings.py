"""The settings, and the only place that reads the environment.

Names are those of the environment, without a prefix; the older system's names keep their meaning.
Values also come from the file named by ``ENV_FILE`` (default ``.env``, where it exists).
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from streams.errors import ConfigurationError
from streams.index.refusals import without_credentials
from streams.kafka.security import check_security

MIB = 1024 * 1024

Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """What a worker and the commands are told. Frozen: nothing changes after start."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, validate_default=True
    )

    # Kafka
    kafka_bootstrap_servers: str | None = Field(
        None,
        description="Brokers, `host:port` separated by commas. "
        "Unset: the embedded broker on `127.0.0.1:KAFKA_PORT`.",
    )
    kafka_port: int = Field(9092, ge=1, le=65535, description="Port of the embedded broker.")
    kafka_group_id: str = Field(
        "facestream", min_length=1, description="Consumer group of the workers."
    )
    kafka_topic_prefix: str = Field(
        "",
        pattern=r"^[a-z0-9.-]*$",
        description="Put before every topic name, to share a cluster.",
    )
    kafka_create_topics: bool = Field(
        True, description="Create missing topics at start. Off: they must exist."
    )
    kafka_partitions: int = Field(
        8, ge=1, le=10_000, description="Partitions of topics that we create."
    )
    kafka_replication: int = Field(
        1, ge=1, le=10, description="Replication factor of topics that we create."
    )
    kafka_max_message_bytes: int = Field(
        8 * MIB, ge=64 * 1024, description="Largest message that we produce and ask topics to take."
    )
    kafka_session_timeout_s: float = Field(
        30,
        ge=3,
        description="A worker silent for this long loses its partitions. A stock Kafka refuses "
        "less than 6 (`group.min.session.timeout.ms`).",
    )
    kafka_rebalance_timeout_s: float = Field(
        60, ge=5, description="How long a rebalance waits for a worker to finish its events."
    )
    kafka_linger_ms: float = Field(
        0,
        ge=0,
        description="How long a produced message waits for company. Under load messages come "
        "together without it, and an answer alone is sooner there.",
    )
    kafka_fetch_max_wait_ms: int = Field(
        500,
        ge=1,
        le=30_000,
        description="How long the broker may hold a fetch when there is nothing new. Kafka answers "
        "as soon as there is; the embedded broker looks again after half of it only.",
    )
    kafka_fetch_max_mb: int = Field(
        1,
        ge=1,
        le=50,
        description="MiB that a broker may send in one fetch, 1 of each partition; a larger record "
        "comes alone. More takes more memory, and is faster where a broker is far away.",
    )
    kafka_min_insync_replicas: int | None = Field(
        None,
        ge=1,
        le=10,
        description="`min.insync.replicas` of topics that we create: with replication 3, 2 keeps "
        "every acknowledged event though a broker is lost. Unset: as the cluster has it.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the brokers are spoken to."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How user and password are shown to the broker."
    )
    kafka_sasl_username: str | None = Field(None, min_length=1, description="User of the cluster.")
    kafka_sasl_password: SecretStr | None = Field(None, description="The user's password.")
    kafka_ssl_ca_file: Path | None = Field(
        None,
        description="PEM file with the authorities that the brokers' certificates must come from. "
        "Unset: the system's.",
    )
    kafka_ssl_cert_file: Path | None = Field(
        None, description="PEM file with our own certificate, where the cluster wants one."
    )
    kafka_ssl_key_file: Path | None = Field(
        None, description="PEM file with its key. Unset: it is in the certificate's file."
    )
    kafka_ssl_key_password: SecretStr | None = Field(
        None, description="Password of an encrypted key."
    )

    # Models
    face_detector: str = Field("yunet", description="Detector, by name (`models list`).")
    face_embedder: str = Field("sface", description="Embedder, by name (`models list`).")
    face_quality: str | None = Field(
        None,
        min_length=1,
        description="Model whose answer is published as `measures.learned_quality`, by name "
        "(`models list`). Unset: none.",
    )
    model_path: Path | None = Field(
        None,
        description="Folder with weight files, looked at before installed packages; or one file, "
        "which then is the detector or the embedder.",
    )
    model_cache: Path = Field(
        Path("~/.cache/facestream/models"),
        description="Folder for prepared graphs and fetched weights.",
    )
    accept_model_licence: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Models, by name and separated by commas, that may be used though their "
        "licence forbids commercial use.",
    )
    inference_threads: int | None = Field(
        None, ge=1, le=256, description="Threads that score pictures. Unset: one for each core."
    )
    ml_service_timeout: int = Field(
        5000, ge=50, description="Milliseconds that one attempt at scoring or fetching may take."
    )
    ml_attempts: int = Field(
        3, ge=1, le=10, description="Attempts at what may succeed later, before falling back."
    )
    ml_backoff_ms: int = Field(
        1000, ge=0, description="Wait before the second attempt; each further one waits longer."
    )

    # Pictures
    max_image_bytes: int = Field(20 * MIB, ge=1024, description="Largest picture, in bytes.")
    max_image_pixels: int = Field(
        40_000_000, ge=1024, description="Largest picture, in pixels, checked before decoding."
    )
    image_uri_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="URI prefixes that `image_uri` may point below, separated by commas. "
        "Empty: no claim checks.",
    )

    # Index
    qdrant_url: str | None = Field(
        None, description="Qdrant server. Unset: an embedded index in `QDRANT_PATH`."
    )
    qdrant_api_key: SecretStr | None = Field(None, description="API key of the Qdrant server.")
    qdrant_path: Path = Field(Path("var/index"), description="Folder of the embedded index.")
    qdrant_alias: str = Field(
        "faces", min_length=1, description="Alias of the collection that is in use."
    )
    qdrant_timeout_s: float = Field(10, gt=0, description="Time-out of one call to the index.")
    qdrant_shards: int | None = Field(
        None, ge=1, description="Shards of collections that we create. Unset: Qdrant's default."
    )
    qdrant_replication: int | None = Field(
        None, ge=1, description="Replicas of collections that we create. Unset: Qdrant's default."
    )
    index_batch: int = Field(64, ge=1, le=1000, description="Most faces in one upsert.")

    # Behaviour
    use_real_ml: bool = Field(
        True, description="Off: nothing is scored for real, every event is answered simulated."
    )
    fallback_to_simulated: bool = Field(
        True,
        description="Answer failures with simulated scores. Off: they stay in the fallback topic.",
    )
    result_format: Literal["standard", "legacy"] = Field(
        "standard",
        description="`legacy`: scored-face events also carry `faceId` and `detectionData`, for "
        "consumers that know the older names.",
    )
    simulated_ml_threshold: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Share of recent attempts at real scoring that must succeed. Below it the "
        "circuit opens: events fall back at once, until a probe succeeds. `0`: it never opens.",
    )
    circuit_window: int = Field(
        100, ge=1, le=100_000, description="Most recent attempts that the share is taken of."
    )
    circuit_min_attempts: int = Field(
        20, ge=1, description="With fewer recent attempts than this the circuit stays closed."
    )
    circuit_probe_s: float = Field(
        5, gt=0, description="Wait between probes of an open circuit, in seconds."
    )
    real_ml_rollout_percent: float = Field(
        100,
        ge=0,
        le=100,
        description="Share of users scored for real, by a hash of `user_id`; the others are "
        "answered simulated. An event's own `use_real_ml` goes first.",
    )
    shadow_ml: bool = Field(
        False,
        description="Score the users outside the rollout for real as well, and keep the scores "
        "in the topic `shadow-scored` alone.",
    )

    # Flow
    max_in_flight: int | None = Field(
        None, ge=1, description="Most events held at once by an agent. Unset: 64 for each thread."
    )
    max_in_flight_mb: int = Field(
        128,
        ge=1,
        description="Most megabytes of events held at once by an agent; again as many of pictures "
        "fetched by `image_uri`, for which a fetch takes `MAX_IMAGE_BYTES` until it is done.",
    )
    drain_timeout_s: float = Field(
        20, ge=1, description="How long a stop or rebalance waits for events being worked on."
    )
    stop_timeout_s: float = Field(
        40,
        ge=2,
        description="A stop that takes longer ends the process. Keep below the grace "
        "period of your orchestrator.",
    )

    # Web and logs
    api_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="When set, every page but `/health/live` wants "
        "`Authorization: Bearer <token>`.",
    )
    stalled_after_s: float = Field(
        60,
        ge=1,
        description="With work to do and nothing finished or tried again for this long, "
        "`/health/live` goes red. Keep above one attempt and the wait after it "
        "(`ML_SERVICE_TIMEOUT`, `ML_BACKOFF_MS`).",
    )
    web_host: str = Field("127.0.0.1", description="Address that the web port binds to.")
    port: int = Field(6066, ge=1, le=65535, description="Web port of the worker.")
    legacy_ports: Annotated[tuple[Port, ...], NoDecode] = Field(
        (),
        description="Ports that the worker's pages answer on as well, separated by commas: "
        "`8001,8002` for clients that know the two older services.",
    )
    http_max_pending: int | None = Field(
        None,
        ge=1,
        description="Most requests to the HTTP API being read or worked on at once, and likewise "
        "waiting at `/api/score`. More are answered 503. Unset: 16 for each thread.",
    )
    http_score_timeout_ms: int = Field(
        4500,
        ge=1,
        description="Milliseconds that `/api/score` waits for the answer to its event before it "
        "says 202. Keep below the time-out of its clients.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Level of facestream's own log lines."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: console on a terminal, JSON elsewhere."
    )

    @field_validator("image_uri_allow", "legacy_ports", "accept_model_licence", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        if isinstance(value, str):
            value = value.lower()
            return {"warn": "warning", "crit": "error", "critical": "error"}.get(value, value)
        return value

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator(
        "model_cache",
        "model_path",
        "qdrant_path",
        "kafka_ssl_ca_file",
        "kafka_ssl_cert_file",
        "kafka_ssl_key_file",
    )
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return value.expanduser() if value else None

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _servers(cls, value: str | None) -> str | None:
        for server in (value or "").split(",") if value else ():
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"expected host:port[,host:port...], found {server.strip()!r}")
        return value

    @model_validator(mode="after")
    def _deadlines_fit(self) -> Settings:
        if self.stop_timeout_s <= self.drain_timeout_s:
            raise ValueError("STOP_TIMEOUT_S must be longer than DRAIN_TIMEOUT_S")
        if self.kafka_rebalance_timeout_s <= self.drain_timeout_s:
            raise ValueError("KAFKA_REBALANCE_TIMEOUT_S must be longer than DRAIN_TIMEOUT_S")
        return self

    @model_validator(mode="after")
    def _circuit_fits(self) -> Settings:
        if self.circuit_min_attempts > self.circuit_window:
            raise ValueError("CIRCUIT_MIN_ATTEMPTS must not be more than CIRCUIT_WINDOW")
        return self

    @model_validator(mode="after")
    def _kafka_fits(self) -> Settings:
        if (self.kafka_min_insync_replicas or 0) > self.kafka_replication:
            raise ValueError("KAFKA_MIN_INSYNC_REPLICAS must not be more than KAFKA_REPLICATION")
        check_security(self)
        return self

    @property
    def bootstrap_servers(self) -> str:
        """The brokers to talk to, `host:port` separated by commas."""
        return self.kafka_bootstrap_servers or f"127.0.0.1:{self.kafka_port}"

    @property
    def threads(self) -> int:
        """Threads that score pictures: the setting, or the cores this process may use."""
        if self.inference_threads:
            return self.inference_threads
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    @property
    def in_flight(self) -> int:
        """Most events that an agent holds at once."""
        return self.max_in_flight or 64 * self.threads

    @property
    def http_pending(self) -> int:
        """Most requests to the HTTP API at once; 16 a thread are done well within 5 s."""
        return self.http_max_pending or 16 * self.threads

    @property
    def web_client_host(self) -> str:
        """The host by which a client on this machine reaches the web port, as URLs write it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.web_host, self.web_host)  # noqa: S104
        return f"[{host}]" if ":" in host else host

    def masked(self) -> dict[str, str]:
        """The settings as strings by their environment names, secrets masked."""
        shown = {name.upper(): str(getattr(self, name)) for name in type(self).model_fields}
        if self.qdrant_url:
            shown["QDRANT_URL"] = without_credentials(self.qdrant_url)
        return shown


def env_file() -> str:
    """The file that settings come from beside the environment; it need not exist."""
    return os.environ.get("ENV_FILE") or ".env"  # empty counts as unset, as everywhere


def load_settings(**overrides: object) -> Settings:
    """The settings of this process.

    Raises ``ConfigurationError``, which names each variable that is wrong and what was expected.
    """
    file = env_file()
    _check_readable(file, must_exist=bool(os.environ.get("ENV_FILE")))
    try:
        return Settings(_env_file=file, **overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"]).upper() or "settings"
            shown = problem["loc"] and not _is_secret(str(problem["loc"][0]))
            found = f" (found {problem['input']!r})" if shown else ""
            lines.append(f"  {name}: {problem['msg']}{found}")
        raise ConfigurationError(
            "these settings are wrong; correct them in the environment or in "
            f"{file}:\n" + "\n".join(lines)
        ) from None


def _check_readable(file: str, *, must_exist: bool) -> None:
    try:
        if Path(file).is_file():
            Path(file).read_text("utf-8")
        elif must_exist:
            raise ConfigurationError(f"ENV_FILE={file}: no such file")
    except OSError as error:
        raise ConfigurationError(
            f"ENV_FILE={file} cannot be read: {error.strerror}; is it readable for the user "
            f"{os.getuid()} that this process runs as?"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"ENV_FILE={file} is not text in UTF-8 (byte {error.start})"
        ) from None


def _is_secret(name: str) -> bool:
    field = Settings.model_fields.get(name)
    return field is not None and SecretStr in get_args(field.annotation)


class _Pinned(Settings):
    """Settings from what is given alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def pinned_settings(**values: object) -> Settings:
    """Settings that neither the environment nor a file changes: ``values``, else the defaults."""
    return _Pinned(**values)  # type: ignore[arg-type]


def pinned_environment(empty_file: Path, **values: str) -> dict[str, str]:
    """The environment that tells a child process the same: every other setting is unset.

    ``empty_file`` stands in for the ``.env`` that it would read otherwise.
    """
    unset = dict.fromkeys((name.upper() for name in Settings.model_fields), "")
    return {**unset, "ENV_FILE": str(empty_file), **values}


@cache
def current() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
