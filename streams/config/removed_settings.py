"""Settings of earlier versions that have no effect any more.

Each name stays in the list for one release, so that a deployment that sets it is warned.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.config.environment import env_file, env_file_names, environment_names

#: Name: what applies instead.
REMOVED = {
    "CIRCUIT_MIN_ATTEMPTS": "it is 20",
    "CIRCUIT_WINDOW": "it is 100",
    "HTTP_MAX_PENDING": "it is 16 for each thread; see INFERENCE_THREADS",
    "INDEX_BATCH": "it is 64",
    "KAFKA_FETCH_MAX_MB": "it is 1",
    "KAFKA_LINGER_MS": "it is 0",
    "KAFKA_REBALANCE_TIMEOUT_S": "it is DRAIN_TIMEOUT_S plus 40 s",
    "MAX_IN_FLIGHT": "it is 64 for each thread; see INFERENCE_THREADS and MAX_IN_FLIGHT_MB",
    "STOP_TIMEOUT_S": "it is DRAIN_TIMEOUT_S plus 20 s",
}


@dataclass(frozen=True)
class RemovedSetting:
    """A name that is set and has no effect any more."""

    source: str
    """``environment``, or the path of the file."""
    name: str
    instead: str

    def __str__(self) -> str:
        return f"{self.source}: {self.name} was removed and has no effect; {self.instead}"


def removed_settings() -> list[RemovedSetting]:
    """Return the removed settings in the process environment and in the file of ``ENV_FILE``."""
    sources = {"environment": environment_names(), env_file(): env_file_names()}
    return [
        RemovedSetting(source, name, REMOVED[name])
        for source, names in sources.items()
        for name in names
        if name in REMOVED
    ]
