"""Settings of pictures: their largest size, and where they may be fetched from."""

from __future__ import annotations

from pydantic import Field

from streams.config.section import MIB, Names, Section


class PictureSettings(Section):
    """Limits of pictures, and the places that ``image_uri`` may name."""

    max_image_bytes: int = Field(20 * MIB, ge=1024, description="Largest picture, in bytes.")
    max_image_pixels: int = Field(
        40_000_000, ge=1024, description="Largest picture, in pixels, checked before decoding."
    )
    image_uri_allow: Names = Field(
        (),
        description="URI prefixes, separated by commas, that an `image_uri` must start with. "
        "Empty: every event must carry its picture.",
    )
