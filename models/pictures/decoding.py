"""Picture bytes to pixels, with every limit checked before anything is decoded.

Pillow reads the header. OpenCV decodes the everyday formats (JPEG, PNG, WebP), because it is
fast and releases the GIL; Pillow decodes the rare ones, because it supports them better.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from models.errors import ImageTooLarge, ModelsError, UnreadableImage
from models.pictures.containers import check_container, webp_canvas
from models.pictures.decoded_picture import DecodedPicture
from models.pictures.exif_orientation import exchanged_edges, exif_orientation, swaps_sides, upright

# Pillow's warnings about damaged tags quote the file. Python prints each new text to stderr and
# keeps it in memory, so that hostile files would fill both.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

Pixels = NDArray[np.uint8]
Decoded = NDArray[np.integer[Any] | np.floating[Any]]

MIN_SIDE_PX = 16
"""Least side of a picture: YuNet's smallest anchors are for faces of about 10 pixels."""

EVERYDAY = ("JPEG", "PNG", "WebP")

_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}

TILE_TAGS = (322, 323)
"""TIFF TileWidth and TileLength: one tile is decoded whole, however small the picture is."""


@dataclass(frozen=True)
class DecodeLimits:
    """``max_bytes`` of the file, and ``max_pixels`` (width times height) once decoded."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 40_000_000


@dataclass(frozen=True)
class _Format:
    name: str
    signatures: tuple[bytes, ...]
    open: Callable[[BytesIO], ImageFile.ImageFile]


# The allow-list. The plugin classes are called directly, because Image.open would warn or raise by
# Pillow's own process-wide pixel limit before the size can be reported.
_FORMATS = (
    _Format("JPEG", (b"\xff\xd8\xff",), JpegImagePlugin.JpegImageFile),
    _Format("PNG", (b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
    _Format("WebP", (b"RIFF",), WebPImagePlugin.WebPImageFile),
    _Format("GIF", (b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
    _Format("BMP", (b"BM",), BmpImagePlugin.BmpImageFile),
    _Format("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
)


def decode(data: bytes, limits: DecodeLimits) -> Pixels:
    """Decode a picture to (height, width, 3) uint8 BGR, as a viewer shows it.

    EXIF orientation is applied, 16 bits are scaled to 8, transparent pixels are blended with
    white, and of an animation the first frame is taken. Raises ``ImageTooLarge`` or
    ``UnreadableImage``.
    """
    return decode_reduced(data, limits, longest_side=None).pixels


def decode_reduced(
    data: bytes, limits: DecodeLimits, *, longest_side: int | None
) -> DecodedPicture:
    """Decode a picture, a large JPEG at a half, a quarter or an eighth of its size.

    The longest side keeps at least ``longest_side`` pixels; None decodes the whole picture. The
    JPEG decoder leaves out high frequencies, which takes a fraction of the time (0.4 for a half)
    and, unlike dropping pixels, causes no aliasing. Raises the errors of ``decode``.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLarge("bytes", len(data), limits.max_bytes)
    kind, header = _read_header(data, limits)
    _check_size(header, limits)
    try:
        late_exif = check_container(kind, data)
        if kind not in EVERYDAY:
            return DecodedPicture.whole(_decode_rare(header))
        reduction = 1
        if kind == "JPEG" and longest_side is not None:
            reduction = _reduction(max(header.size), longest_side)
        return _decode_everyday(kind, data, header, late_exif, reduction)
    except ModelsError:
        raise
    except Exception as error:
        # Damaged files make the decoders raise errors of many types.
        raise UnreadableImage(f"its {kind} data is damaged or cut off ({error})") from error


def _read_header(data: bytes, limits: DecodeLimits) -> tuple[str, ImageFile.ImageFile]:
    if not data:
        raise UnreadableImage("it is empty (0 bytes)")
    for known in _FORMATS:
        if data.startswith(known.signatures) and (known.name != "WebP" or data[8:12] == b"WEBP"):
            if known.name == "WebP":
                _check_pixels(webp_canvas(data) or (0, 0), limits)
            try:
                return known.name, known.open(BytesIO(data))
            except Exception as error:
                # As above: a damaged header may raise errors of many types.
                reason = f"its {known.name} header is damaged or cut off ({error})"
                raise UnreadableImage(reason) from error
    names = ", ".join(known.name for known in _FORMATS)
    raise UnreadableImage(f"it is in none of the formats {names}; it begins with {data[:8]!r}")


def _check_size(header: ImageFile.ImageFile, limits: DecodeLimits) -> None:
    _check_pixels(header.size, limits)
    if isinstance(header, TiffImagePlugin.TiffImageFile):
        tile_width, tile_height = (int(header.tag_v2.get(tag, 0)) for tag in TILE_TAGS)
        _check_pixels((tile_width, tile_height), limits)
    width, height = header.size
    if min(width, height) < MIN_SIDE_PX:
        raise UnreadableImage(
            f"it is {width} x {height} pixels, too small to hold a face "
            f"(each side must have at least {MIN_SIDE_PX})"
        )


def _check_pixels(size: tuple[int, int], limits: DecodeLimits) -> None:
    pixels = size[0] * size[1]
    if pixels > limits.max_pixels:
        raise ImageTooLarge("pixels", pixels, limits.max_pixels)


def _reduction(longest: int, wanted: int) -> int:
    return max((by for by in _REDUCED if longest >= by * wanted), default=1)


def _decode_everyday(
    kind: str,
    data: bytes,
    header: ImageFile.ImageFile,
    late_exif: bytes | None,
    reduction: int,
) -> DecodedPicture:
    # JPEG is decoded to colour at once, the fast path; the others may have alpha or 16 bits.
    colour = _REDUCED.get(reduction, cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    flags = colour if kind == "JPEG" else cv2.IMREAD_UNCHANGED
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if decoded is None:
        raise UnreadableImage(f"its {kind} data is damaged or cut off")
    # Reduced sides are rounded up.
    if decoded.shape[:2] != (-(-header.height // reduction), -(-header.width // reduction)):
        raise UnreadableImage(
            f"its header says {header.width} x {header.height} pixels, its data "
            f"{decoded.shape[1] * reduction} x {decoded.shape[0] * reduction}"
        )
    orientation = exif_orientation(header.info.get("exif") or late_exif)
    return _upright_picture(_as_bgr(decoded), header.size, orientation, reduction)


def _upright_picture(
    stored: Pixels, size: tuple[int, int], orientation: int, reduction: int
) -> DecodedPicture:
    """Turn the picture upright; ``size``: width and height of the source as it is stored."""
    pixels = upright(stored, orientation)
    width, height = reversed(size) if swaps_sides(orientation) else size
    rows, columns = pixels.shape[:2]
    left, top = exchanged_edges(orientation)
    return DecodedPicture(
        pixels,
        width,
        height,
        factor=reduction,
        beyond_left=(columns * reduction - width) * left,
        beyond_top=(rows * reduction - height) * top,
    )


def _decode_rare(picture: ImageFile.ImageFile) -> Pixels:
    picture.load()
    shown: Image.Image = ImageOps.exif_transpose(picture)
    if shown.mode in ("I", "F"):
        # 32 bits per value: nothing in the file says which values are black and white.
        raise UnreadableImage(f"its pixels are in Pillow's mode {shown.mode!r}, not 8 or 16 bit")
    if shown.mode.startswith("I;16"):
        return _as_bgr(np.asarray(shown, dtype=np.uint16))
    if shown.has_transparency_data:
        return _as_bgr(cv2.cvtColor(np.asarray(shown.convert("RGBA")), cv2.COLOR_RGBA2BGRA))
    return _as_bgr(cv2.cvtColor(np.asarray(shown.convert("RGB")), cv2.COLOR_RGB2BGR))


def _as_bgr(decoded: Decoded) -> Pixels:
    if decoded.dtype == np.uint16:
        # 65535 / 257 = 255: scales the whole range and rounds, unlike taking the high byte.
        decoded = cv2.convertScaleAbs(decoded, alpha=1 / 257)
    if decoded.ndim == 2:
        decoded = cv2.cvtColor(decoded, cv2.COLOR_GRAY2BGR)
    elif decoded.shape[2] == 4:
        decoded = _over_white(decoded)
    return np.asarray(decoded, dtype=np.uint8)


def _over_white(bgra: Decoded) -> Decoded:
    """Blend a transparent picture with white, as a viewer does."""
    alpha = cv2.cvtColor(cv2.extractChannel(bgra, 3), cv2.COLOR_GRAY2BGR)
    colour = cv2.multiply(cv2.cvtColor(bgra, cv2.COLOR_BGRA2BGR), alpha, scale=1 / 255)
    return np.asarray(cv2.add(colour, cv2.bitwise_not(alpha)))
