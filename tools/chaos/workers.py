"""Worker processes of the suite."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from streams.local.embedded_broker import free_port
from streams.local.worker_process import WorkerProcess

ROOT = Path(__file__).parents[2]
APP = "tools.chaos.app"
PARTITIONS = 4
SESSION_S = 4.0


def worker_process(
    log_file: Path, bootstrap_servers: str, qdrant_url: str, settings: Mapping[str, str], app: str
) -> WorkerProcess:
    """Return a worker that is not started yet; ``settings`` are environment variables."""
    # An .env file of the developer must not change a run.
    env_file = log_file.with_name("empty.env")
    env_file.touch()
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_SESSION_TIMEOUT_S": str(SESSION_S),
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "QDRANT_URL": qdrant_url,
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "warning",
        "ENV_FILE": str(env_file),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        **settings,
    }
    return WorkerProcess(
        environment, port=free_port(), log_file=log_file, faust_log_level="warn", app=app
    )
