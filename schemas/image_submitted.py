"""``image-submitted``: a request to score the faces of one picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Self
from uuid import UUID, uuid5

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.base64_picture import (
    JSON_SCHEMA_PATTERN,
    NotBase64,
    picture_from_text,
    text_from_picture,
)
from schemas.errors import describe_size
from schemas.field_types import EventId, Instant, Metadata, Sha256Hex, Share, Uri, UserId
from schemas.json_budget import JSON_BUDGET

# Random and fixed: a different value would give old events new ids.
DERIVED_EVENT_IDS = UUID("5b0a3a0c-6d0e-4d2b-9d5c-0f6a52c5f7d4")

EXPECTED: Mapping[str, str] = MappingProxyType(
    {
        "event_id": "a UUID",
        "user_id": "a string of 1 to 256 characters without control characters",
        "image_base64": "a picture in base64 (standard alphabet, padded), or as a data URL",
        "image_uri": "a URI of 1 to 4096 characters without control characters",
        "image_sha256": "64 hexadecimal digits",
        "submitted_at": "an ISO 8601 date and time",
        "use_real_ml": "true or false",
        "min_confidence": "a number from 0 to 1",
        "max_faces": "a whole number from 1 to 64",
        "metadata": "an object",
    }
)


def derived_event_id(user_id: str, value: bytes | None) -> UUID:
    """Derive the id of an event without one: a UUIDv5 of user id and SHA-256 of the value.

    The same bytes from the same user are the same event.
    """
    digest = hashlib.sha256(value or b"").hexdigest()
    return uuid5(DERIVED_EVENT_IDS, f"{user_id}\n{digest}")


def _read_picture(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return picture_from_text(value)
    except NotBase64 as reason:
        context = {"found": f"{describe_size(value)} ({reason})"}
        raise PydanticCustomError("not_base64", "Input should be base64", context) from None


Picture = Annotated[
    bytes,
    Field(min_length=1),
    BeforeValidator(_read_picture),
    PlainSerializer(text_from_picture, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": JSON_SCHEMA_PATTERN}),
]


class ImageSubmitted(BaseModel):
    """One picture of one user, to be scored.

    The record key is ``user_id``. A message has one of two forms:

    JSON: the value is an object with the fields below; null means absent. ``user_id`` may be
    omitted when the record key holds it. Older names are accepted: ``userId``, ``imageBase64``,
    ``image`` (base64, or a URI with ``isBase64: false``), ``useRealML``, ``timestamp`` (ISO 8601,
    or milliseconds since 1970), ``nftVerified`` and ``wldVerified`` (at the top level or in
    ``metadata``; stored in ``metadata`` as ``nft_verified`` and ``wld_verified``). A field given
    under two names must have the same value under both. An unknown field is stored in
    ``metadata`` with its type unchanged, unless ``metadata`` has an entry of that name.

    Binary: the ``content-type`` header is ``image/*`` and the value is the picture. The other
    fields are headers: ``ce_id`` (or ``event_id``), ``user_id`` (else the record key),
    ``image_sha256``, ``submitted_at`` (else ``ce_time``), ``use_real_ml``, ``min_confidence``,
    ``max_faces``, and ``metadata`` as a JSON object. Other headers are not part of the event.

    ``event_id`` is the idempotency key. An event without one gets a UUIDv5 of the user id and the
    SHA-256 of the value: the same bytes from the same user are the same event.
    Instants without an offset are UTC.
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # pydantic would print the start of the picture
        title="image-submitted",
    )

    event_id: EventId = Field(
        description="The idempotency key. Derived from the user id and the value when absent.",
        examples=["3f2b8c1e-9c1d-4f5e-8a44-0c9f6f3f7a10"],
    )
    user_id: UserId = Field(
        description="The user whose picture it is. May be omitted when the record key holds it.",
        examples=["user-42"],
    )
    image: Picture | None = Field(
        default=None,
        repr=False,
        validation_alias="image_base64",
        serialization_alias="image_base64",
        description="The picture's file in base64, alone or as a data URL. "
        "Exactly one of this and image_uri is required.",
        examples=["iVBORw0KGgo="],
    )
    image_uri: Uri | None = Field(
        default=None,
        description="Where to fetch the picture: a claim check. "
        "The worker's settings must allow the place.",
        examples=["s3://pictures/2024/05/user-42.jpg"],
    )
    image_sha256: Sha256Hex | None = Field(
        default=None, description="SHA-256 of the picture's file, in hexadecimal."
    )
    submitted_at: Instant | None = Field(
        default=None,
        description="When the picture was submitted, in ISO 8601. Without an offset: UTC.",
        examples=["2024-05-01T12:00:00Z"],
    )
    use_real_ml: bool | None = Field(
        default=None,
        description="Whether to use the real models; absent leaves it to the worker's settings.",
    )
    min_confidence: Share = Field(
        default=0.7,
        description="Detections with a lower confidence are ignored.",
        examples=[0.7],
    )
    max_faces: int = Field(
        default=1,
        ge=1,
        le=64,
        description="How many faces to score at most; the most prominent are scored.",
        examples=[1],
    )
    metadata: Metadata = Field(
        default_factory=dict,
        description="Any other data about the event, copied to every answer with types unchanged. "
        f"At most {JSON_BUDGET:,} bytes of JSON, including unknown fields.",
        examples=[{"campaign": "spring", "attempt": 2}],
    )

    @model_validator(mode="after")
    def _one_picture(self) -> Self:
        if (self.image is None) == (self.image_uri is None):
            found = "neither" if self.image is None else "both"
            context = {"field": "image_base64 | image_uri", "expected": "one", "found": found}
            raise PydanticCustomError("one_picture", "exactly one of {field}", context)
        return self
