"""A picture written as text: standard base64 with padding, alone or in a data URL."""

from __future__ import annotations

import binascii

import pybase64

ASCII_WHITESPACE = b" \t\n\r\f\v"
DATA_URL_HEAD_LIMIT = 256  # bytes; a media type with its parameters is far shorter

_SPACE = r"[ \t\n\r\f\v]"
# Covers the alphabet, the place of the padding and the head of a data URL. A readable pattern
# cannot check that the length fits the padding; the decoder does.
JSON_SCHEMA_PATTERN = (
    rf"^{_SPACE}*([Dd][Aa][Tt][Aa]:[^,]*;[Bb][Aa][Ss][Ee]64,)?"
    rf"[A-Za-z0-9+/ \t\n\r\f\v]+(={_SPACE}*){{0,2}}$"
)


class NotBase64(ValueError):
    """The text is not base64; the message says why and never quotes the text."""


def picture_from_text(text: str) -> bytes:
    """Decode a picture; ASCII white space is skipped anywhere.

    Raises ``NotBase64`` for characters outside the standard alphabet, wrong or missing padding, a
    data URL without ``;base64,``, and a text without any bytes.
    """
    try:
        # Nearly always the text is plain base64, which this decodes a hundred times as fast.
        picture = pybase64.b64decode(text, validate=True)
    except ValueError:
        return _decode_slowly(text)
    if not picture:
        raise NotBase64("no picture in it")
    return picture


def _decode_slowly(text: str) -> bytes:
    """Decode a text with white space or the head of a data URL, or raise ``NotBase64``."""
    try:
        compact = text.encode("ascii").translate(None, ASCII_WHITESPACE)
    except UnicodeEncodeError as error:
        raise NotBase64(f"character {error.start} is not ASCII") from None
    if compact[:5].lower() == b"data:":
        comma = compact.find(b",", 0, DATA_URL_HEAD_LIMIT)
        if comma < 0 or not compact[:comma].lower().endswith(b";base64"):
            raise NotBase64("a data URL without ';base64,'")
        compact = compact[comma + 1 :]
    if not compact:
        raise NotBase64("no picture in it")
    try:
        return binascii.a2b_base64(compact, strict_mode=True)
    except binascii.Error as error:
        raise NotBase64(str(error).lower()) from None


def text_from_picture(picture: bytes) -> str:
    """Encode a picture in standard base64 with padding, on one line."""
    return pybase64.b64encode_as_string(picture)
