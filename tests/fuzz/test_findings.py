"""What the fuzzer has found, each kept as the smallest input that showed it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from PIL import Image

from schemas.codec import decode_image_submitted
from schemas.errors import InvalidEvent
from streams.pictures.errors import redacted
from tools.pictures import encoded

PASSWORD = "hunter2hunter2"


@pytest.mark.parametrize(
    "uri",
    [
        f"//user:{PASSWORD}@host",
        f"http:/user:{PASSWORD}@host/x.jpg",
        f"http:user:{PASSWORD}@host/x.jpg",
        f"http://user:{PASSWORD}/{PASSWORD}@host/x.jpg",
        f"http://user:{PASSWORD}?{PASSWORD}#{PASSWORD}@host/x.jpg",
        f"http://127.0.0.1\\user:{PASSWORD}@host/x.jpg",
        f"http://user:{PASSWORD}@host/user:{PASSWORD}@",
        f"http://{PASSWORD}@host/a@2x.jpg",
        f"user:{PASSWORD}@host",
    ],
)
def test_a_password_in_a_malformed_uri_is_not_shown(uri: str) -> None:
    """Such a URI is refused, and the refusal is logged."""
    assert PASSWORD not in redacted(uri)


@pytest.mark.parametrize(
    "uri", ["file:///pictures/a@2x.jpg", "s3://bucket/a@b/c.jpg", "/pictures/a@2x.jpg"]
)
def test_an_at_sign_in_a_path_is_no_password(uri: str) -> None:
    """An operator wants to see which file it was."""
    assert redacted(uri) == uri


def test_a_uri_of_colons_is_redacted_in_no_time() -> None:
    """The first pattern took the square of its length."""
    assert len(redacted("@" + "::" * 500_000)) <= 201


@pytest.mark.parametrize(
    "fields",
    [
        {"image_uri": f"http://user:{PASSWORD}@host/\u0000"},
        {"image": f"http://user:{PASSWORD}@host/{'x' * 5000}", "isBase64": False},
        {"image": PASSWORD * 500, "isBase64": False},
    ],
    ids=["control character", "too long", "a picture that is no URI"],
)
def test_a_uri_that_is_refused_is_told_by_its_length(fields: dict[str, object]) -> None:
    """It may hold a password, or be a picture's base64 by mistake; the refusal is logged."""
    value = json.dumps({"user_id": "user-1", **fields}).encode()
    with pytest.raises(InvalidEvent, match="found a string of") as refusal:
        decode_image_submitted(value, None, ())
    assert PASSWORD not in str(refusal.value)


def test_pillow_does_not_warn_of_what_a_file_says() -> None:
    """Each new text would go to stderr, past the log, and be remembered for ever."""
    # In a process of its own: pytest has warning filters of its own.
    code = """
import sys
from models.pictures.decoding import DecodeLimits, decode
from models.errors import ModelsError
data = sys.stdin.buffer.read()
# Every length in turn is written over: some tag is then larger than the file.
for at in range(8, len(data) - 4):
    try:
        decode(data[:at] + b"\\xff\\xff\\x00\\x00" + data[at + 4:], DecodeLimits())
    except ModelsError:
        pass
"""
    small = encoded(Image.new("L", (16, 16)), "TIFF")
    ran = subprocess.run(
        [sys.executable, "-c", code], input=small, capture_output=True, check=True, timeout=60
    )
    assert b"UserWarning" not in ran.stderr
