"""Pictures as text: the fast decoder accepts nothing that Python's strict one refuses."""

from __future__ import annotations

import binascii

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.base64_picture import NotBase64, picture_from_text, text_from_picture

almost_base64 = st.text(alphabet="Aa0+/=Q-_ \n,é", max_size=12)


@given(almost_base64)
@example("QQ==QQ==")
@example("QR==")
@example("QQ")
@example("=QQ=")
def test_decoding_is_strict(text: str) -> None:
    """Except for white space, binascii in strict mode accepts the same texts, with equal bytes."""
    compact = text.encode("utf-8").translate(None, b" \n")
    try:
        expected = binascii.a2b_base64(compact, strict_mode=True) or None
    except binascii.Error:
        expected = None
    if expected is None:
        with pytest.raises(NotBase64):
            picture_from_text(text)
    else:
        assert picture_from_text(text) == expected


@given(st.binary(min_size=1))
def test_encoding_round_trips(picture: bytes) -> None:
    """A picture is one line of padded text, and is decoded alone and in a data URL."""
    text = text_from_picture(picture)
    assert text == binascii.b2a_base64(picture, newline=False).decode()
    assert picture_from_text(text) == picture
    assert picture_from_text(f" data:image/png;base64,{text}\n") == picture
