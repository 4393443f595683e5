"""The broker that tests run on: ``TEST_BROKER=embedded`` (the default) or ``apache``."""

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
    """A broker's address, and the settings that its workers and clients need beside it."""

    bootstrap_servers: str
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """Yield a broker, or topics and a group of a shared one, for the caller alone."""
    if apache_is_chosen():
        yield unused_names(apache_kafka())
    else:
        with EmbeddedBroker(free_port(), log_file=folder / "broker.log") as embedded:
            yield Broker(embedded.address)


def broker_behind(proxy_port: int, port: int, folder: Path) -> EmbeddedBroker | ApacheKafka:
    """Return a broker on ``port`` that sends its clients to a proxy; the caller starts it."""
    if apache_is_chosen():
        return ApacheKafka(folder / "kafka", port=port, advertised_port=proxy_port)
    return EmbeddedBroker(port, log_file=folder / "broker.log", advertised_port=proxy_port)


def apache_is_chosen() -> bool:
    """Whether ``TEST_BROKER`` is ``apache``. Raises ``ValueError`` for an unknown broker."""
    chosen = os.environ.get("TEST_BROKER", "embedded")
    if chosen not in ("embedded", "apache"):
        raise ValueError(f"TEST_BROKER={chosen}: expected embedded or apache")
    return chosen == "apache"


@cache
def apache_kafka() -> ApacheKafka:
    """Return the node that this process shares, as a JVM takes four seconds to start."""
    # Not a test's folder, as the node outlives the test.
    folder = tempfile.TemporaryDirectory(prefix="facestream-kafka-")
    kafka = ApacheKafka(Path(folder.name))
    atexit.register(folder.cleanup)
    atexit.register(kafka.stop)
    return kafka.start()


def unused_names(kafka: ApacheKafka) -> Broker:
    """Return a broker whose topic prefix and consumer group no other test uses."""
    name = f"t{next(_numbers)}"
    return Broker(
        kafka.address(), {"KAFKA_TOPIC_PREFIX": f"{name}-", "KAFKA_GROUP_ID": f"facestream-{name}"}
    )
