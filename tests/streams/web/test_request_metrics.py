"""The names under which requests are counted."""

from __future__ import annotations

import pytest

from streams.web.request_metrics import page_of


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/api/score", "score"),
        ("/api/attractiveness/score", "score"),
        ("/api/openapi.json", "openapi.json"),
    ],
)
def test_a_page_is_counted_under_its_own_name(path: str, page: str) -> None:
    """Under an older path too."""
    assert page == page_of(path)
