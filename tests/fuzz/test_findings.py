"""Bugs that the fuzzer has found, each as the smallest input that triggers it."""

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
    """The refusal of such a URI is logged."""
    assert PASSWORD not in redacted(uri)


@pytest.mark.parametrize(
    "uri", ["file:///pictures/a@2x.jpg", "s3://bucket/a@b/c.jpg", "/pictures/a@2x.jpg"]
)
def test_an_at_sign_in_a_path_is_not_redacted(uri: str) -> None:
    """Operators need the name of the file."""
    assert redacted(uri) == uri


def test_redacting_takes_linear_time() -> None:
    """An earlier pattern took quadratic time on colons."""
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
def test_a_refused_uri_is_described_by_its_length(fields: dict[str, object]) -> None:
    """It may hold a password or, by mistake, a picture; and the refusal is logged."""
    value = json.dumps({"user_id": "user-1", **fields}).encode()
    with pytest.raises(InvalidEvent, match="found a string of") as refusal:
        decode_image_submitted(value, None, ())
    assert PASSWORD not in str(refusal.value)


def test_pillow_does_not_warn_about_a_file() -> None:
    """Python would write each new warning to stderr and keep it in memory."""
    # In another process, as pytest sets its own warning filters.
    code = """
import sys
from models.pictures.decoding import DecodeLimits, decode
from models.errors import ModelsError
data = sys.stdin.buffer.read()
# Overwrite each length in turn: some tag is then larger than the file.
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
