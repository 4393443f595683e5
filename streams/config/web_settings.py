"""Settings of the web port: health pages, metrics, the HTTP API."""

from __future__ import annotations

from pydantic import Field, SecretStr

from streams.config.section import Port, Ports, Section


class WebSettings(Section):
    """Address, access and limits of the worker's pages."""

    api_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="When set, every page except `/health/live` requires "
        "`Authorization: Bearer <token>`.",
    )
    stalled_after_s: float = Field(
        60,
        ge=1,
        description="`/health/live` fails when a worker with work to do has neither finished nor "
        "retried an event for this many seconds. Keep it above one attempt and the wait after it "
        "(`ML_SERVICE_TIMEOUT`, `ML_BACKOFF_MS`).",
    )
    web_host: str = Field("127.0.0.1", description="Address that the web port binds to.")
    port: Port = Field(6066, description="Web port of the worker.")
    legacy_ports: Ports = Field(
        (),
        description="Further web ports with the same pages, separated by commas: `8001,8002` for "
        "clients of the two older services.",
    )
    http_score_timeout_ms: int = Field(
        4500,
        ge=1,
        description="How long `/api/score` waits for the answer to its event before it responds "
        "with 202, in milliseconds. Keep it below the timeout of its clients.",
    )

    @property
    def web_client_host(self) -> str:
        """The host in URLs by which a client on this machine reaches the web port."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.web_host, self.web_host)  # noqa: S104
        return f"[{host}]" if ":" in host else host
