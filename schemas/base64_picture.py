"""A picture written as text: standard base64 with padding, alone or in a data URL."""

import binascii

import pybase64

ASCII_WHITESPACE = b" \t\n\r\f\v"
DATA_URL_HEAD_LIMIT = 256  # bytes; a media type with its parameters is far shorter

_SPACE = r"[ \t\n\r\f\v]"
# Says the alphabet, the place of the padding and the head of a data URL. That the length fits the
# padding is beyond a pattern of readable size; the decoder checks it.
JSON_SCHEMA_PATTERN = (
    rf"^{_SPACE}*([Dd][Aa][Tt][Aa]:[^,]*;[Bb][Aa][Ss][Ee]64,)?"
    rf"[A-Za-z0-9+/ \t\n\r\f\v]+(={_SPACE}*){{0,2}}$"
)


class NotBase64(ValueError):
    """Text that is not base64; its message says why and never repeats the text."""


def picture_from_text(text: str) -> bytes:
    """The bytes written in `text`; ASCII white space is skipped wherever it stands.

    Raises NotBase64 for characters outside the standard alphabet, wrong or missing padding, a
    data URL without `;base64,`, and for text that holds no bytes at all.
    """
    try:
        # Nearly always it is nothing but base64, which this reads at a hundred times the speed.
        picture = pybase64.b64decode(text, validate=True)
    except ValueError:
        return _picture_from_written(text)
    if not picture:
        raise NotBase64("no picture in it")
    return picture


def _picture_from_written(text: str) -> bytes:
    """As `picture_from_text`: past white space and a data URL's head, or to the reason why not."""
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
    """The picture in standard base64 with padding, in one line."""
    return pybase64.b64encode_as_string(picture)
