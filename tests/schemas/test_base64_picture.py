"""Pictures as text: the fast reader takes nothing that the strict one of Python would refuse."""

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
def test_what_is_read_is_strict_base64(text: str) -> None:
    """Without white space and data URL's head: what binascii reads strictly, and the same bytes."""
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
def test_what_is_written_is_read(picture: bytes) -> None:
    """Written as text in one line, with padding, and read back, alone and in a data URL."""
    text = text_from_picture(picture)
    assert text == binascii.b2a_base64(picture, newline=False).decode()
    assert picture_from_text(text) == picture
    assert picture_from_text(f" data:image/png;base64,{text}\n") == picture
