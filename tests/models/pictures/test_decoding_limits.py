"""Pictures that are too large, too small or too expensive are refused before decoding."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from models.errors import ImageTooLarge, UnreadableImage
from models.pictures.decoding import DecodeLimits, decode
from tests.models.conftest import encoded

LIMITS = DecodeLimits()


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_a_picture_too_small_for_a_face_is_refused(size: tuple[int, int]) -> None:
    """The error states its size."""
    with pytest.raises(UnreadableImage, match=f"{size[0]} x {size[1]} pixels, too small"):
        decode(encoded(Image.new("RGB", size), "PNG"), LIMITS)


def test_too_many_bytes_are_refused(hopper: bytes) -> None:
    """The size of the file is checked before its content."""
    with pytest.raises(ImageTooLarge) as caught:
        decode(hopper, DecodeLimits(max_bytes=1000))
    assert ("bytes", len(hopper), 1000) == (
        caught.value.what,
        caught.value.actual,
        caught.value.limit,
    )


def declared_jpeg(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("RGB", (32, 32)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def declared_png(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("RGB", (32, 32)), "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def declared_webp(width: int, height: int) -> bytes:
    frame = encoded(Image.new("RGB", (32, 32)), "WEBP")[12:]
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + canvas + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def declared_gif(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("P", (32, 32)), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def declared_bmp(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("RGB", (32, 32)), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


@pytest.mark.parametrize(
    "declare", [declared_jpeg, declared_png, declared_webp, declared_gif, declared_bmp]
)
@pytest.mark.parametrize(("width", "height"), [(10_000, 5_000), (16_000, 16_000)])
def test_declared_pixels_over_the_limit_are_refused_undecoded(
    declare: object, width: int, height: int
) -> None:
    """A small file that would decode to 50 or 256 megapixels is refused by its header."""
    assert callable(declare)
    data = declare(width, height)
    assert len(data) < 10_000
    with pytest.raises(ImageTooLarge) as caught:
        decode(data, LIMITS)
    assert ("pixels", width * height) == (caught.value.what, caught.value.actual)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
def test_a_webp_without_extended_header_has_the_same_limit(options: dict[str, object]) -> None:
    """Simple lossy and lossless WebP files store their size in other places."""
    data = encoded(Image.new("RGB", (200, 100)), "WEBP", **options)
    with pytest.raises(ImageTooLarge, match="20,000 pixels"):
        decode(data, DecodeLimits(max_pixels=19_999))
    assert (100, 200, 3) == decode(data, DecodeLimits(max_pixels=20_000)).shape


def tiled_tiff(tile_side: int) -> bytes:
    """A grey 64 x 64 TIFF of one uncompressed tile, of which 64 x 64 bytes are present."""
    tags = [(256, 64), (257, 64), (258, 8), (259, 1), (262, 1), (277, 1)]
    tags += [(322, tile_side), (323, tile_side), (324, 146), (325, 64 * 64)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(146, b"\0") + b"\x80" * 64 * 64


def test_a_huge_tile_in_a_small_tiff_is_refused() -> None:
    """A tile is decoded whole, so a 64 x 64 picture with a huge tile is a bomb."""
    assert (64, 64, 3) == decode(tiled_tiff(64), LIMITS).shape
    with pytest.raises(ImageTooLarge, match="1,600,000,000 pixels"):
        decode(tiled_tiff(40_000), LIMITS)


def test_a_jpeg_with_too_many_scans_is_refused() -> None:
    """Thousands of scans in a small file would keep a thread busy for minutes."""
    picture = Image.effect_noise((64, 64), 50)
    data = encoded(picture, "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    repeated = data[:scan] + data[scan:-2] * 200 + data[-2:]
    with pytest.raises(UnreadableImage, match="more than 100 scans"):
        decode(repeated, LIMITS)


def test_a_header_that_contradicts_the_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoded size must be the size that was checked.

    The decoder is replaced, because no file is known that the two libraries read differently.
    """
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: np.zeros((640, 480, 3), np.uint8))
    with pytest.raises(UnreadableImage, match="says 48 x 64 pixels, its data 480 x 640"):
        decode(encoded(Image.new("RGB", (48, 64)), "PNG"), LIMITS)
