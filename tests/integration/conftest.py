"""Fixtures with real processes: one broker per test module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a broker for this module, on a free port."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
