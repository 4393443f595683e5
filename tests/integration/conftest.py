"""Real parts for the integration tests: one broker a module, workers as tests ask for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An embedded broker of this module's own, on a free port."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
