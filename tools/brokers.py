"""Which broker the integration tests run on: ``TEST_BROKER=embedded`` (default) or ``apache``."""

from __future__ import annotations

import atexit
import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from streams.local.embedded_broker import EmbeddedBroker, free_port
from tools.kafka.apache_kafka import ApacheKafka

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Broker:
    """Where it is, and what workers and clients must be told besides."""

    bootstrap_servers: str
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """A broker, or a part of one, that nobody else uses."""
    if apache_is_chosen():
        yield own_part(apache_kafka())
    else:
        with EmbeddedBroker(free_port(), log_file=folder / "broker.log") as embedded:
            yield Broker(embedded.address)


def broker_behind(proxy_port: int, port: int, folder: Path) -> EmbeddedBroker | ApacheKafka:
    """A broker on ``port`` that sends its clients to a proxy; not started yet."""
    if apache_is_chosen():
        return ApacheKafka(folder / "kafka", port=port, advertised_port=proxy_port)
    return EmbeddedBroker(port, log_file=folder / "broker.log", advertised_port=proxy_port)


def apache_is_chosen() -> bool:
    """What ``TEST_BROKER`` says. Raises ``ValueError`` for a broker that there is not."""
    chosen = os.environ.get("TEST_BROKER", "embedded")
    if chosen not in ("embedded", "apache"):
        raise ValueError(f"TEST_BROKER={chosen}: expected embedded or apache")
    return chosen == "apache"


@cache
def apache_kafka() -> ApacheKafka:
    """One for this process: a JVM takes four seconds to start."""
    # A folder of the process, not of a test: it outlives them all.
    folder = tempfile.TemporaryDirectory(prefix="facestream-kafka-")
    kafka = ApacheKafka(Path(folder.name))
    atexit.register(folder.cleanup)
    atexit.register(kafka.stop)
    return kafka.start()


def own_part(kafka: ApacheKafka) -> Broker:
    """Topics and a consumer group that no other test has seen."""
    name = f"t{next(_numbers)}"
    return Broker(
        kafka.address(), {"KAFKA_TOPIC_PREFIX": f"{name}-", "KAFKA_GROUP_ID": f"facestream-{name}"}
    )
