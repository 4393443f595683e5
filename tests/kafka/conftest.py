"""Apache Kafka for these tests.

They are collected only with ``TEST_BROKER=apache`` (``make test-kafka``): they need Java, and
Maven, which fetches the broker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.stack import Stack
from tools.brokers import unused_names
from tools.kafka.apache_kafka import ApacheKafka

if os.environ.get("TEST_BROKER") != "apache":
    collect_ignore_glob = ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """The mark of what only ``make test-kafka-long`` runs."""
    config.addinivalue_line("markers", "long: takes long, and covers what is unlikely to break")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Java takes its time to start, and brokers to find each other."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(240), append=False)


@contextmanager
def stack_on(kafka: ApacheKafka, folder: Path, **extra: str) -> Iterator[Stack]:
    """A stack with topics and a group of its own on a running cluster."""
    part = unused_names(kafka)
    yield Stack(folder, part.bootstrap_servers, {**part.environment, **extra})


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One node, shared by the tests of a module."""
    with ApacheKafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def stack(kafka: ApacheKafka, tmp_path: Path) -> Iterator[Stack]:
    """A stack on it."""
    with stack_on(kafka, tmp_path) as running:
        yield running
