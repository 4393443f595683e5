from __future__ import annotations

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.errors import ImageTooLarge, UnreadableImage
from models.pictures.decoding import DecodeLimits, decode
from tests.models.conftest import encoded

LIMITS = DecodeLimits()
TOP_RGB, BOTTOM_RGB = (200, 100, 50), (20, 40, 220)


@pytest.fixture
def two_halves() -> Image.Image:
    """48 x 64, one colour above, another below: shows a wrong channel order and a wrong turn."""
    pixels = np.empty((64, 48, 3), np.uint8)
    pixels[:32], pixels[32:] = TOP_RGB, BOTTOM_RGB
    return Image.fromarray(pixels)


def corners(image: NDArray[np.uint8]) -> list[list[int]]:
    """RGB of a pixel well inside the top left and the bottom left."""
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
    """JPEG, PNG, WebP, BMP and TIFF come out as BGR uint8 with the colours they went in with."""
    assert_two_halves(decode(encoded(two_halves, file_format, **options), LIMITS))


def test_cmyk_jpeg_keeps_its_colours(two_halves: Image.Image) -> None:
    """A four-colour JPEG from a print workflow is converted, not read as inverted RGB."""
    assert_two_halves(decode(encoded(two_halves.convert("CMYK"), "JPEG", quality=95), LIMITS))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_grey_becomes_three_equal_channels(two_halves: Image.Image, file_format: str) -> None:
    """A grey picture has the same luma in all three channels."""
    image = decode(encoded(two_halves.convert("L"), file_format), LIMITS)
    assert (64, 48, 3) == image.shape
    assert np.allclose([[124] * 3, [55] * 3], corners(image), atol=2)


def test_one_bit_png_becomes_black_and_white() -> None:
    """A bilevel picture uses the whole range, not 0 and 1."""
    page = Image.new("1", (32, 32), 1)
    assert 255 == decode(encoded(page, "PNG"), LIMITS).min()


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "BMP"])
def test_palette_is_looked_up(two_halves: Image.Image, file_format: str) -> None:
    """A palette picture comes out in its colours, not in its indices."""
    palette = two_halves.quantize(16)
    assert_two_halves(decode(encoded(palette, file_format), LIMITS), tolerance=8)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled(file_format: str) -> None:
    """16-bit values are scaled by 1/257, not cut off at 255."""
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[:, np.newaxis].repeat(48, axis=1)
    image = decode(encoded(Image.fromarray(ramp), file_format), LIMITS)
    assert np.allclose(np.rint(ramp / 257), image[:, :, 0], atol=1)


def test_sixteen_bit_colour_is_scaled() -> None:
    """A 16-bit colour PNG is scaled channel by channel, and rounded."""
    ok, data = cv2.imencode(".png", np.full((32, 32, 3), (1000, 30000, 65535), np.uint16))
    assert ok
    assert [4, 117, 255] == decode(data.tobytes(), LIMITS)[0, 0].tolist()


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_over_white(two_halves: Image.Image, file_format: str) -> None:
    """Half transparent pixels are half white; what is hidden in them does not show."""
    two_halves.putalpha(128)
    options = {"lossless": True} if file_format == "WEBP" else {}
    image = decode(encoded(two_halves, file_format, **options), LIMITS)
    expected = [[(value + 255) // 2 for value in colour] for colour in (TOP_RGB, BOTTOM_RGB)]
    assert np.allclose(expected, corners(image), atol=2)


def test_opaque_alpha_changes_nothing(two_halves: Image.Image) -> None:
    """An alpha channel that hides nothing leaves the colours exact."""
    two_halves.putalpha(255)
    assert_two_halves(decode(encoded(two_halves, "PNG"), LIMITS), tolerance=0)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_counts(two_halves: Image.Image, file_format: str) -> None:
    """Of an animation or a document of several pages, the first is decoded."""
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
    """Whatever way a camera stored it, the picture comes out upright."""
    upright = Image.open(BytesIO(hopper)).reduce(4)
    turn = STORED_AS.get(orientation)
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encoded(stored, file_format, exif=exif, quality=95), LIMITS)
    expected = np.asarray(upright)[:, :, ::-1].astype(int)
    assert expected.shape == image.shape
    assert np.abs(expected - image).mean() < 4


def test_exif_behind_the_pixels_of_a_png_is_found(two_halves: Image.Image) -> None:
    """The PNG standard lets the eXIf chunk stand anywhere before the end."""
    exif = Image.Exif()
    exif[0x0112] = 3
    upside_down = encoded(two_halves.transpose(Image.Transpose.ROTATE_180), "PNG")
    content = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    end = len(upside_down) - 12
    assert_two_halves(decode(upside_down[:end] + chunk + upside_down[end:], LIMITS))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_hide_the_picture(two_halves: Image.Image) -> None:
    """A broken EXIF block counts as none."""
    data = encoded(two_halves, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert_two_halves(decode(data, LIMITS))


def test_bytes_behind_the_end_of_a_jpeg_are_allowed(two_halves: Image.Image) -> None:
    """Phones append films and depth maps; those may even hold JPEG markers."""
    data = encoded(two_halves, "JPEG", quality=95)
    assert_two_halves(decode(data + b"film \xff\xda\xff\xd9\xff" * 500, LIMITS))


def test_a_truncated_jpeg_with_a_thumbnail_is_still_truncated(hopper: bytes) -> None:
    """The markers of the thumbnail inside the header are not the picture's."""
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
    """A file that was cut off is an error, not a picture with a grey lower half."""
    data = encoded(Image.open(BytesIO(hopper)).reduce(4), file_format)
    with pytest.raises(UnreadableImage, match=r"cut off|none of the formats"):
        decode(data[: int(len(data) * share)], LIMITS)


def test_a_damaged_png_is_refused(hopper: bytes) -> None:
    """One flipped byte in the pixels breaks the chunk's checksum."""
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
def test_what_is_no_picture_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    """The reason tells an empty file from a wrong kind and from a damaged header."""
    with pytest.raises(UnreadableImage, match=reason):
        decode(data, LIMITS)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_a_picture_too_small_for_a_face_is_refused(size: tuple[int, int]) -> None:
    """1 x 1 is refused with its size, before any model sees it."""
    with pytest.raises(UnreadableImage, match=f"{size[0]} x {size[1]} pixels, too small"):
        decode(encoded(Image.new("RGB", size), "PNG"), LIMITS)


def test_a_floating_point_tiff_is_refused() -> None:
    """Nothing says which of its values are black and white."""
    with pytest.raises(UnreadableImage, match="mode 'F'"):
        decode(encoded(Image.new("F", (32, 32)), "TIFF"), LIMITS)


def test_too_many_bytes_are_refused(hopper: bytes) -> None:
    """The file's size is checked before its content is looked at."""
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
    """A small file that would unfold to 50 or 256 megapixels is refused by its header."""
    assert callable(declare)
    data = declare(width, height)
    assert len(data) < 10_000
    with pytest.raises(ImageTooLarge) as caught:
        decode(data, LIMITS)
    assert ("pixels", width * height) == (caught.value.what, caught.value.actual)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
def test_a_webp_without_extended_header_is_limited_too(options: dict[str, object]) -> None:
    """Plain lossy and lossless WebP files state their size in other places."""
    data = encoded(Image.new("RGB", (200, 100)), "WEBP", **options)
    with pytest.raises(ImageTooLarge, match="20,000 pixels"):
        decode(data, DecodeLimits(max_pixels=19_999))
    assert (100, 200, 3) == decode(data, DecodeLimits(max_pixels=20_000)).shape


def tiled_tiff(tile_side: int) -> bytes:
    """A grey 64 x 64 TIFF of one uncompressed tile, 64 x 64 bytes of it present."""
    tags = [(256, 64), (257, 64), (258, 8), (259, 1), (262, 1), (277, 1)]
    tags += [(322, tile_side), (323, tile_side), (324, 146), (325, 64 * 64)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(146, b"\0") + b"\x80" * 64 * 64


def test_a_huge_tile_in_a_small_tiff_is_refused() -> None:
    """A tile is decoded whole, so that a 64 x 64 picture with a huge tile is a bomb."""
    assert (64, 64, 3) == decode(tiled_tiff(64), LIMITS).shape
    with pytest.raises(ImageTooLarge, match="1,600,000,000 pixels"):
        decode(tiled_tiff(40_000), LIMITS)


def test_a_jpeg_of_endless_scans_is_refused(two_halves: Image.Image) -> None:
    """Thousands of scans in a small file would keep a thread busy for minutes."""
    data = encoded(two_halves, "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    repeated = data[:scan] + data[scan:-2] * 200 + data[-2:]
    with pytest.raises(UnreadableImage, match="more than 100 scans"):
        decode(repeated, LIMITS)


def test_a_header_that_contradicts_the_data_is_refused(
    two_halves: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size that was checked must be the size that is decoded, whatever a decoder makes of it.

    No file is known that the two libraries read differently, so the decoder is replaced.
    """
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: np.zeros((640, 480, 3), np.uint8))
    with pytest.raises(UnreadableImage, match="says 48 x 64 pixels, its data 480 x 640"):
        decode(encoded(two_halves, "PNG"), LIMITS)
