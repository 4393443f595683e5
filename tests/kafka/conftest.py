"""Fixtures of an Apache Kafka broker.

These tests are collected only with ``TEST_BROKER=apache`` (``make test-kafka``): they need Java,
and Maven, which downloads the broker.
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
    """Register the mark of tests that only ``make test-kafka-long`` runs."""
    config.addinivalue_line("markers", "long: slow, and unlikely to find a bug")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow for the start of Java, and of a cluster."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(240), append=False)


@contextmanager
def stack_on(kafka: ApacheKafka, folder: Path, **extra: str) -> Iterator[Stack]:
    """Yield a stack with its own topics and group on a running cluster."""
    broker = unused_names(kafka)
    yield Stack(folder, broker.bootstrap_servers, {**broker.environment, **extra})


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A node that the tests of a module share."""
    with ApacheKafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def stack(kafka: ApacheKafka, tmp_path: Path) -> Iterator[Stack]:
    """A stack on the module's node."""
    with stack_on(kafka, tmp_path) as running:
        yield running
