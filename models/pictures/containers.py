"""Checks of a picture file's structure, without decoding it.

OpenCV silently fills missing parts of a JPEG or PNG with grey, so the file is walked first. That
takes 0.02 ms for a JPEG of 640 x 480.
"""

from __future__ import annotations

import re
import struct
import zlib

from models.errors import UnreadableImage

MAX_JPEG_SCANS = 100
"""Progressive JPEGs have about ten. Every scan visits every block again, so a small file with
thousands of scans would keep a thread busy for minutes."""

_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In coded data FF is followed by 00 (a stuffed FF), D0..D7 (restart) or FF (fill)."""

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_PNG_FIRST_CHUNK = 8


def check_container(kind: str, data: bytes) -> bytes | None:
    """Check that a JPEG or PNG is complete; other formats fail while decoding.

    Returns the EXIF block of a PNG, which may follow the pixels, where no header reader looks.
    Raises ``UnreadableImage``.
    """
    if kind == "JPEG":
        check_jpeg(data)
    return check_png(data) if kind == "PNG" else None


def check_jpeg(data: bytes) -> None:
    """Check that a JPEG has an end-of-image marker and at most ``MAX_JPEG_SCANS`` scans.

    Bytes after the end-of-image marker are allowed: phones store films and depth maps there.
    Raises ``UnreadableImage``.
    """
    position, scans = 2, 0
    while (marker := _NEXT_MARKER.search(data, position)) is not None:
        code = data[marker.start() + 1]
        if code == _END_OF_IMAGE and scans:
            return
        scans += code == _START_OF_SCAN
        if scans > MAX_JPEG_SCANS:
            raise UnreadableImage(f"its JPEG data has more than {MAX_JPEG_SCANS} scans")
        # Skip the segment by its length: an EXIF thumbnail contains JPEG markers.
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        position = marker.end() + length
    raise UnreadableImage("its JPEG data is cut off (no end-of-image marker)")


def check_png(data: bytes) -> bytes | None:
    """Check that every chunk of a PNG is complete; return the EXIF block, wherever it is.

    Raises ``UnreadableImage`` when a chunk is cut off or damaged, or the end chunk is missing.
    """
    position, exif = _PNG_FIRST_CHUNK, None
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != checksum:
            raise UnreadableImage(f"its PNG chunk {kind!r} at byte {position} is damaged")
        if kind == b"eXIf":
            exif = data[position + 8 : end - 4]
        if kind == b"IEND":
            return exif
        position = end
    raise UnreadableImage("its PNG data is cut off (no end chunk)")


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Read a WebP file's width and height from its first chunk; None when that is damaged.

    Pillow allocates the whole canvas as soon as it opens a WebP file, so the size must be known
    before. Source: the WebP container specification, and RFC 6386 and 9649.
    """
    kind, head = data[12:16], data[20:30]
    if len(head) < 10:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 6)
        return width & 0x3FFF, height & 0x3FFF
    return None
