"""Damaged pictures: valid files, changed by repeatable recipes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st
from PIL import Image

from tools.pictures import encoded, odd_pictures, oriented, png_declaring, portrait

#: Positions in a file are fractions of its size, in this many steps.
STEPS = 1 << 16
#: Values at which parsers fail: 0, 1, and the signed and unsigned limits of 8, 16 and 32 bits.
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER_BYTES = 160
_MAX_RUN = 4096
_MAX_BYTES = 300_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a file. ``at``: its position, in ``STEPS`` of the file or of its header."""

    kind: str
    at: int
    length: int
    value: int
    in_header: bool

    def place(self, size: int) -> int:
        """Return the byte index that ``at`` means in a file of ``size`` bytes."""
        span = min(size, _HEADER_BYTES) if self.in_header else size
        return self.at * span // STEPS


@dataclass(frozen=True, slots=True)
class Recipe:
    """A picture: the name of a sample, and its changes.

    ``mended`` corrects a PNG's checksums afterwards, so that decoders read the changed chunks.
    """

    sample: str
    changes: tuple[Change, ...]
    mended: bool

    def cook(self) -> bytes:
        """Return the file after all changes."""
        return self.cook_step_by_step()[-1]

    def cook_step_by_step(self) -> list[bytes]:
        """Return the file after each change, or the sample when there are none."""
        data = bytearray(samples()[self.sample])
        files = []
        for change in self.changes:
            _CHANGES[change.kind](data, change)
            del data[_MAX_BYTES:]
            files.append(bytes(data))
        files = files or [bytes(data)]
        return [with_right_checksums(file) for file in files] if self.mended else files


def _flip(data: bytearray, change: Change) -> None:
    if data:
        data[change.place(len(data))] ^= 1 << change.value % 8


def _write(data: bytearray, change: Change) -> None:
    """Overwrite 1, 2 or 4 bytes by an edge value, in either byte order."""
    width = (1, 2, 4)[change.length % 3]
    number = EDGES[change.value % len(EDGES)] & ((1 << 8 * width) - 1)
    at = change.place(len(data))
    data[at : at + width] = number.to_bytes(width, "big" if change.value & 0x100 else "little")


def _truncate(data: bytearray, change: Change) -> None:
    del data[change.place(len(data)) :]


def _remove(data: bytearray, change: Change) -> None:
    at = change.place(len(data))
    del data[at : at + change.length]


def _repeat(data: bytearray, change: Change) -> None:
    at = change.place(len(data))
    part = bytes(data[at : at + change.length])
    data[at:at] = part * (change.value % 64)


def _zero(data: bytearray, change: Change) -> None:
    at = change.place(len(data))
    data[at : at + change.length] = bytes(len(data[at : at + change.length]))


def _splice(data: bytearray, change: Change) -> None:
    """Replace the rest of the file by that of another sample."""
    names = sorted(samples())
    other = samples()[names[change.value % len(names)]]
    data[change.place(len(data)) :] = other[change.place(len(other)) :]


_CHANGES: Mapping[str, Callable[[bytearray, Change], None]] = {
    "flip": _flip,
    "write": _write,
    "truncate": _truncate,
    "remove": _remove,
    "repeat": _repeat,
    "zero": _zero,
    "splice": _splice,
}


def with_right_checksums(data: bytes) -> bytes:
    """Return a PNG with the correct checksum in each chunk, and other files unchanged."""
    if not data.startswith(_PNG_SIGNATURE):
        return data
    mended, position = bytearray(data), len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", mended, end, zlib.crc32(data[position + 4 : end]))
        position = end + 4
    return bytes(mended)


@cache
def samples() -> Mapping[str, bytes]:
    """Return valid files of all formats, and decompression bombs.

    The files are small, so that most changes hit structure rather than pixels.
    """
    face = portrait()
    face.thumbnail((96, 96))
    animated = {"save_all": True, "append_images": [face.rotate(90), face.rotate(180)]}
    alpha = face.convert("RGBA")
    alpha.putalpha(128)
    return {
        "jpeg": encoded(face, "JPEG", quality=80),
        "jpeg-progressive": encoded(face, "JPEG", quality=80, progressive=True),
        "jpeg-exif": oriented(face, 6),
        "jpeg-cmyk": encoded(face.convert("CMYK"), "JPEG"),
        "png": encoded(face, "PNG"),
        "png-alpha": encoded(alpha, "PNG"),
        "png-palette": encoded(face.quantize(16), "PNG"),
        "png-animated": encoded(face.resize((48, 48)), "PNG", **animated),
        "webp": encoded(face, "WEBP"),
        "webp-lossless": encoded(alpha, "WEBP", lossless=True),
        "webp-animated": encoded(face, "WEBP", **animated),
        "gif": encoded(face, "GIF"),
        "gif-animated": encoded(face, "GIF", **animated),
        "bmp": encoded(face.resize((32, 32)), "BMP"),
        "bmp-palette": encoded(face.quantize(16), "BMP"),
        "tiff": encoded(face.resize((32, 32)), "TIFF"),
        "tiff-lzw": encoded(face, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": encoded(face, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": encoded(face, "TIFF", compression="jpeg"),
        "tiff-fax": encoded(face.convert("1"), "TIFF", compression="group4"),
        "png-huge": png_declaring(2**31 - 1, 2**31 - 1),
        "png-bomb": png_bomb(),
        "gif-bomb": encoded(Image.new("P", (3000, 3000)), "GIF"),
        "tiff-bomb": encoded(Image.new("L", (3000, 3000)), "TIFF", compression="tiff_lzw"),
        "webp-bomb": encoded(Image.new("RGB", (3000, 3000)), "WEBP", lossless=True),
        "scans": many_scans(),
        "16-bit": odd_pictures()["16-bit"],
        "nothing": b"",
        "text": b"GIF89a &c., words that no decoder has met before; " * 4,
    }


def png_bomb() -> bytes:
    """Return a PNG of an allowed size with a text and a colour profile of 64 MB each."""
    whole = encoded(Image.new("RGB", (64, 64)), "PNG")
    zeros = zlib.compress(bytes(64 << 20), 9)
    chunks = ((b"zTXt", b"Comment\0\0" + zeros), (b"iCCP", b"profile\0\0" + zeros))
    extra = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    after_header = 33
    return whole[:after_header] + extra + whole[after_header:]


def many_scans() -> bytes:
    """Return a progressive JPEG that repeats its last scan 400 times."""
    whole = encoded(Image.new("L", (256, 256), 7), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * 400 + whole[-2:]


changes = st.builds(
    Change,
    kind=st.sampled_from(sorted(_CHANGES)),
    at=st.integers(0, STEPS - 1),
    length=st.integers(0, 64) | st.integers(0, _MAX_RUN),
    value=st.integers(0, 0xFFFF),
    in_header=st.booleans(),
)
recipes = st.deferred(
    lambda: st.builds(
        Recipe,
        sample=st.sampled_from(sorted(samples())),
        changes=st.lists(changes, max_size=5).map(tuple),
        mended=st.booleans(),
    )
)
