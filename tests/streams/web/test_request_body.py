"""The size of a body, before it is read."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from streams.config.settings import load_settings
from streams.web.failures import Refusal
from streams.web.request_body import body_limit, declared_size

SETTINGS = load_settings(max_image_bytes=1024)
LIMIT = body_limit(SETTINGS)


def size_of(**headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return declared_size(make_mocked_request("POST", "/api/detect-face", headers=named), LIMIT)


def test_a_body_counts_with_its_content_length() -> None:
    """So many small requests are admitted together."""
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
    """A hundred compressed bytes may unpack to a hundred thousand."""
    assert size_of(**headers) == LIMIT


@pytest.mark.parametrize("encoding", [{}, {"Content_Encoding": "gzip"}])
def test_a_body_that_declares_too_many_bytes_is_refused_unread(encoding: dict[str, str]) -> None:
    """Compressed or not."""
    with pytest.raises(Refusal, match="MAX_IMAGE_BYTES"):
        size_of(Content_Length=str(LIMIT + 1), **encoding)
