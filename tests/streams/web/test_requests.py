"""What is known of a request before its body is read."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from streams.config.settings import load_settings
from streams.web.requests import Refusal, body_limit, declared_size

SETTINGS = load_settings(max_image_bytes=1024)
LIMIT = body_limit(SETTINGS)


def size_of(**headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return declared_size(make_mocked_request("POST", "/api/detect-face", headers=named), LIMIT)


def test_a_body_has_the_size_that_it_says() -> None:
    """So that many small requests are let in together."""
    assert size_of(Content_Length="100") == 100


@pytest.mark.parametrize(
    "headers",
    [
        {"Transfer_Encoding": "chunked"},
        {"Content_Length": "100", "Content_Encoding": "gzip"},
        {"Content_Length": "100", "Content_Encoding": "br"},
    ],
)
def test_a_body_of_unknown_size_counts_as_the_largest(headers: dict[str, str]) -> None:
    """A hundred compressed bytes may be a hundred thousand when they are unpacked."""
    assert size_of(**headers) == LIMIT


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    """Nor is a compressed one that is too large already."""
    for encoding in ({}, {"Content_Encoding": "gzip"}):
        with pytest.raises(Refusal, match="MAX_IMAGE_BYTES"):
            size_of(Content_Length=str(LIMIT + 1), **encoding)
