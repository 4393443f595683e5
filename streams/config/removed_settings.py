"""Settings of earlier versions that have no effect any more.

Each name stays in the list for one release, so that a deployment that sets it is warned.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.config.environment import env_file, env_file_names, environment_names

#: By name: the value that applies now.
REMOVED = {
    "CIRCUIT_MIN_ATTEMPTS": "its value is always 20",
    "CIRCUIT_WINDOW": "its value is always 100",
    "HTTP_MAX_PENDING": "its value is always 16 per thread; see INFERENCE_THREADS",
    "INDEX_BATCH": "its value is always 64",
    "KAFKA_FETCH_MAX_MB": "its value is always 1",
    "KAFKA_LINGER_MS": "its value is always 0",
    "KAFKA_REBALANCE_TIMEOUT_S": "its value is always DRAIN_TIMEOUT_S plus 40 s",
    "MAX_IN_FLIGHT": "its value is always 64 per thread; see INFERENCE_THREADS, MAX_IN_FLIGHT_MB",
    "STOP_TIMEOUT_S": "its value is always DRAIN_TIMEOUT_S plus 20 s",
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
