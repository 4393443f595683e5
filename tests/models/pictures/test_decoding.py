"""Decoding: every format gives the same upright pixels, and broken files are refused."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.errors import UnreadableImage
from models.pictures.decoding import DecodeLimits, decode
from tests.models.conftest import encoded

LIMITS = DecodeLimits()
TOP_RGB, BOTTOM_RGB = (200, 100, 50), (20, 40, 220)


@pytest.fixture
def two_halves() -> Image.Image:
    """48 x 64, one colour above another: reveals a wrong channel order or rotation."""
    pixels = np.empty((64, 48, 3), np.uint8)
    pixels[:32], pixels[32:] = TOP_RGB, BOTTOM_RGB
    return Image.fromarray(pixels)


def corners(image: NDArray[np.uint8]) -> list[list[int]]:
    """RGB of a pixel near the top left corner, and of one near the bottom left."""
    return [image[4, 4, ::-1].tolist(), image[-5, 4, ::-1].tolist()]


def assert_two_halves(image: NDArray[np.uint8], tolerance: int = 2) -> None:
    assert (64, 48, 3) == image.shape
    assert np.uint8 == image.dtype
    assert np.allclose([TOP_RGB, BOTTOM_RGB], corners(image), atol=tolerance)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_every_format_decodes_to_the_same_pixels(
    two_halves: Image.Image, file_format: str, options: dict[str, object]
) -> None:
    """JPEG, PNG, WebP, BMP and TIFF become BGR uint8 with the original colours."""
    assert_two_halves(decode(encoded(two_halves, file_format, **options), LIMITS))


def test_cmyk_jpeg_keeps_its_colours(two_halves: Image.Image) -> None:
    """A four-colour JPEG from print is converted, not read as inverted RGB."""
    assert_two_halves(decode(encoded(two_halves.convert("CMYK"), "JPEG", quality=95), LIMITS))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_grey_becomes_three_equal_channels(two_halves: Image.Image, file_format: str) -> None:
    """The luma is in all three channels."""
    image = decode(encoded(two_halves.convert("L"), file_format), LIMITS)
    assert (64, 48, 3) == image.shape
    assert np.allclose([[124] * 3, [55] * 3], corners(image), atol=2)


def test_one_bit_png_becomes_black_and_white() -> None:
    """A bilevel picture has the values 0 and 255, not 0 and 1."""
    page = Image.new("1", (32, 32), 1)
    assert 255 == decode(encoded(page, "PNG"), LIMITS).min()


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "BMP"])
def test_a_palette_is_applied(two_halves: Image.Image, file_format: str) -> None:
    """The pixels are colours, not palette indices."""
    palette = two_halves.quantize(16)
    assert_two_halves(decode(encoded(palette, file_format), LIMITS), tolerance=8)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled(file_format: str) -> None:
    """16-bit values are scaled by 1/257, not clipped at 255."""
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[:, np.newaxis].repeat(48, axis=1)
    image = decode(encoded(Image.fromarray(ramp), file_format), LIMITS)
    assert np.allclose(np.rint(ramp / 257), image[:, :, 0], atol=1)


def test_sixteen_bit_colour_is_scaled() -> None:
    """A 16-bit colour PNG is scaled channel by channel, and rounded."""
    ok, data = cv2.imencode(".png", np.full((32, 32, 3), (1000, 30000, 65535), np.uint16))
    assert ok
    assert [4, 117, 255] == decode(data.tobytes(), LIMITS)[0, 0].tolist()


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_blended_with_white(two_halves: Image.Image, file_format: str) -> None:
    """Half transparent pixels become half white."""
    two_halves.putalpha(128)
    options = {"lossless": True} if file_format == "WEBP" else {}
    image = decode(encoded(two_halves, file_format, **options), LIMITS)
    expected = [[(value + 255) // 2 for value in colour] for colour in (TOP_RGB, BOTTOM_RGB)]
    assert np.allclose(expected, corners(image), atol=2)


def test_opaque_alpha_changes_nothing(two_halves: Image.Image) -> None:
    """A fully opaque alpha channel leaves the colours exact."""
    two_halves.putalpha(255)
    assert_two_halves(decode(encoded(two_halves, "PNG"), LIMITS), tolerance=0)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_is_decoded(two_halves: Image.Image, file_format: str) -> None:
    """Of an animation, or of a document with several pages."""
    green = Image.new("RGB", two_halves.size, (0, 255, 0))
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(two_halves, file_format, save_all=True, append_images=[green], **options)
    assert_two_halves(decode(data, LIMITS), tolerance=8)


STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(hopper: bytes, orientation: int, file_format: str) -> None:
    """However a camera stored it, the picture is decoded upright."""
    upright = Image.open(BytesIO(hopper)).reduce(4)
    turn = STORED_AS.get(orientation)
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encoded(stored, file_format, exif=exif, quality=95), LIMITS)
    expected = np.asarray(upright)[:, :, ::-1].astype(int)
    assert expected.shape == image.shape
    assert np.abs(expected - image).mean() < 4


def test_exif_after_the_pixels_of_a_png_is_found(two_halves: Image.Image) -> None:
    """The PNG standard allows the eXIf chunk anywhere before the end."""
    exif = Image.Exif()
    exif[0x0112] = 3
    upside_down = encoded(two_halves.transpose(Image.Transpose.ROTATE_180), "PNG")
    content = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    end = len(upside_down) - 12
    assert_two_halves(decode(upside_down[:end] + chunk + upside_down[end:], LIMITS))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_is_ignored(two_halves: Image.Image) -> None:
    """The picture is decoded as it is stored."""
    data = encoded(two_halves, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert_two_halves(decode(data, LIMITS))


def test_bytes_after_the_end_of_a_jpeg_are_allowed(two_halves: Image.Image) -> None:
    """Phones append films and depth maps, which may contain JPEG markers."""
    data = encoded(two_halves, "JPEG", quality=95)
    assert_two_halves(decode(data + b"film \xff\xda\xff\xd9\xff" * 500, LIMITS))


def test_a_truncated_jpeg_with_a_thumbnail_is_refused(hopper: bytes) -> None:
    """The end marker of the thumbnail in the header is not the picture's."""
    exif = Image.Exif()
    exif[0x010E] = "thumbnail ???? here"
    raw = exif.tobytes().replace(b"????", b"\xff\xda\xff\xd9")
    data = encoded(Image.open(BytesIO(hopper)), "JPEG", exif=raw)
    assert b"thumbnail \xff\xda\xff\xd9 here" in data
    with pytest.raises(UnreadableImage, match="no end-of-image"):
        decode(data[: len(data) // 2], LIMITS)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated_pictures_are_refused(hopper: bytes, file_format: str, share: float) -> None:
    """A truncated file is an error, not a picture with a grey lower half."""
    data = encoded(Image.open(BytesIO(hopper)).reduce(4), file_format)
    with pytest.raises(UnreadableImage, match=r"cut off|none of the formats"):
        decode(data[: int(len(data) * share)], LIMITS)


def test_a_damaged_png_is_refused(hopper: bytes) -> None:
    """A flipped byte in the pixels violates the checksum of the chunk."""
    data = bytearray(encoded(Image.open(BytesIO(hopper)).reduce(4), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(UnreadableImage, match="PNG chunk b'IDAT' at byte"):
        decode(bytes(data), LIMITS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"this is no picture at all", "none of the formats"),
        (b"%PDF-1.7\n", "none of the formats"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "none of the formats"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "none of the formats"),
        (b"\xff\xd8\xff", "JPEG header is damaged or cut off"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "PNG header is damaged or cut off"),
    ],
)
def test_other_files_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    """The reason distinguishes an empty file, another format and a damaged header."""
    with pytest.raises(UnreadableImage, match=reason):
        decode(data, LIMITS)


def test_a_floating_point_tiff_is_refused() -> None:
    """Nothing in the file says which values are black and white."""
    with pytest.raises(UnreadableImage, match="mode 'F'"):
        decode(encoded(Image.new("F", (32, 32)), "TIFF"), LIMITS)
