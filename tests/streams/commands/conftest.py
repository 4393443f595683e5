"""Fixtures of the tests of commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.streams.commands.file_server import FileServer, running_file_server


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A file server with the default content."""
    with running_file_server() as running:
        yield running
