"""The events of a run, drawn from a seed, each with the outcomes that are allowed for it."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from uuid import UUID, uuid5

from PIL import Image, ImageEnhance

from schemas.fallback import FallbackReason
from tools.chaos.pipelines import Command, commanded
from tools.pictures import encoded, portrait

NAMESPACE = UUID("c4a05000-0000-4000-8000-000000000001")
USERS = 97
#: The header that identifies a dead letter, whatever its value is.
NUMBER_HEADER = "chaos-number"

#: A valid picture may be answered simulated when the machine is too busy to score it in time.
TRANSIENT = frozenset({FallbackReason.INFERENCE_TIMEOUT})
_FETCH = frozenset({FallbackReason.INFERENCE_TIMEOUT, FallbackReason.IMAGE_UNAVAILABLE})

#: The fallback reason that each command must lead to.
VERDICTS: dict[Command, FallbackReason] = {
    Command.HANG: FallbackReason.INFERENCE_TIMEOUT,
    Command.FAIL: FallbackReason.INFERENCE_FAILED,
    Command.BUG: FallbackReason.INFERENCE_FAILED,
    Command.NO_FACE: FallbackReason.NO_FACE,
    Command.LOW: FallbackReason.LOW_CONFIDENCE,
    Command.UNREADABLE: FallbackReason.UNREADABLE_IMAGE,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it is published, and its allowed outcomes.

    ``event_id`` is None for an event without a readable id and user: it must be kept in the
    fallback topic. ``reasons`` allow a simulated answer, ``may_be_real`` allows real ones.
    """

    number: int
    event_id: UUID | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    picture_sha256: str | None = None
    faces: int = 1
    may_be_real: bool = True
    reasons: frozenset[FallbackReason] = TRANSIENT

    @property
    def user_id(self) -> str:
        """The user who sends the event."""
        return user_of(self.number)

    @property
    def key(self) -> bytes | None:
        """The record key."""
        return self.user_id.encode() if self.event_id is not None else None


@dataclass(frozen=True)
class Load:
    """``count`` events of a seed, a share of them bad; ``real`` events carry photographs."""

    seed: int
    count: int
    real: bool
    picture_url: str
    bad_share: float = 0.05
    hang_share: float = 0.002
    claim_share: float = 0.05

    def events(self) -> Iterator[Event]:
        """Yield the events in the order of publishing; the same seed gives the same events."""
        rng = random.Random(f"events-{self.seed}")
        pool = photographs() if self.real else ()
        claimable = list(served_pictures(real=self.real).items())
        for number in range(self.count):
            dice = rng.random()
            picture = rng.choice(pool) if self.real else rng.randbytes(rng.randint(500, 4000))
            faces = 1 if self.real or rng.random() < 0.8 else 2
            if dice < self.hang_share:
                yield self._commanded(number, picture, Command.HANG)
            elif dice < self.bad_share:
                yield self._bad(number, picture, rng)
            elif dice < self.bad_share + self.claim_share:
                yield self._claim_check(number, *rng.choice(claimable))
            else:
                yield self._valid(number, picture, faces, binary=rng.random() < 0.5)

    def _valid(self, number: int, picture: bytes, faces: int, *, binary: bool) -> Event:
        if binary and faces == 1:
            return self._binary(number, picture)
        event = self._json(number, {"image_base64": _base64(picture), "max_faces": faces})
        return replace(event, picture_sha256=_sha256(picture), faces=faces)

    def _claim_check(self, number: int, name: str, picture: bytes) -> Event:
        digest = _sha256(picture)
        fields = {"image_uri": self.picture_url + name, "image_sha256": digest}
        return replace(self._json(number, fields), picture_sha256=digest, reasons=_FETCH)

    def _commanded(self, number: int, picture: bytes, command: Command) -> Event:
        event = self._binary(number, commanded(picture, command))
        return replace(event, may_be_real=False, reasons=TRANSIENT | {VERDICTS[command]})

    def _bad(self, number: int, picture: bytes, rng: random.Random) -> Event:
        commands = [command for command in VERDICTS if command is not Command.HANG]
        flaws = ["no user", "not JSON", "no picture", "wrong digest", "declined"]
        match rng.choice([*commands, *flaws]):
            case Command() as command:
                return self._commanded(number, picture, command)
            case "no user":
                return _unidentified(number, b'{"image_base64": "AAAA"}')
            case "not JSON":
                return _unidentified(number, b"\xff\xfe nonsense")
            case "no picture":
                return self._refused(number, {})
            case "wrong digest":
                fields = {"image_base64": _base64(picture), "image_sha256": "0" * 64}
                return self._refused(number, fields)
            case _:
                declined = {"image_base64": _base64(picture), "use_real_ml": False}
                return self._refused(number, declined, FallbackReason.REAL_ML_DISABLED)

    def _refused(
        self,
        number: int,
        fields: Mapping[str, object],
        reason: FallbackReason = FallbackReason.INVALID_EVENT,
    ) -> Event:
        event = self._json(number, fields)
        return replace(event, may_be_real=False, reasons=frozenset({reason}))

    def _binary(self, number: int, picture: bytes) -> Event:
        event_id = self._id(number)
        headers = (
            ("content-type", b"image/jpeg"),
            ("ce_id", str(event_id).encode()),
            _number_header(number),
        )
        return Event(number, event_id, picture, headers, _sha256(picture))

    def _json(self, number: int, fields: Mapping[str, object]) -> Event:
        event_id = self._id(number)
        whole = {"event_id": str(event_id), "user_id": user_of(number), **fields}
        return Event(number, event_id, json.dumps(whole).encode(), (_number_header(number),))

    def _id(self, number: int) -> UUID:
        return uuid5(NAMESPACE, f"{self.seed}:{number}")


def user_of(number: int) -> str:
    """Return the user of the event with this number."""
    return f"user-{number % USERS}"


def served_pictures(*, real: bool) -> dict[str, bytes]:
    """Return the pictures behind claim checks, by the names under which they are served."""
    if real:
        return {f"{n}.jpg": picture for n, picture in enumerate(photographs())}
    return {f"{n}.jpg": random.Random(n).randbytes(2000) for n in range(16)}


def photographs() -> tuple[bytes, ...]:
    """Return a dozen small photographs (at most 160 pixels wide and high) of two people."""
    made = []
    for name in ("grace-hopper", "eileen-collins"):
        small = portrait(name)
        small.thumbnail((160, 160))
        for brightness in (0.85, 1.0, 1.15):
            for mirrored in (False, True):
                made.append(_variant(small, brightness, mirrored=mirrored))
    return tuple(made)


def _variant(picture: Image.Image, brightness: float, *, mirrored: bool) -> bytes:
    shown = ImageEnhance.Brightness(picture).enhance(brightness)
    if mirrored:
        shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return encoded(shown, "JPEG", quality=90)


def _unidentified(number: int, value: bytes) -> Event:
    """Return an event that has no readable id or user."""
    return Event(
        number,
        event_id=None,
        value=value,
        headers=(_number_header(number),),
        faces=0,
        may_be_real=False,
        reasons=frozenset({FallbackReason.INVALID_EVENT}),
    )


def _number_header(number: int) -> tuple[str, bytes]:
    return NUMBER_HEADER, str(number).encode()


def _sha256(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()
