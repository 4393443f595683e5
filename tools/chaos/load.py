"""The events of a run, drawn from a seed, each with what may become of it."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid5

from PIL import Image, ImageEnhance

from schemas.fallback import FallbackReason
from tools.chaos.pipelines import Command, commanded
from tools.pictures import encoded, portrait

NAMESPACE = UUID("c4a05000-0000-4000-8000-000000000001")
USERS = 97
#: The header by which a dead letter is known again, whatever its bytes are.
NUMBER_HEADER = "chaos-number"

#: A sound picture may still be answered simulated when the machine is too busy to score it in time.
TRANSIENT = frozenset({FallbackReason.INFERENCE_TIMEOUT})
_FETCH = frozenset({FallbackReason.INFERENCE_TIMEOUT, FallbackReason.IMAGE_UNAVAILABLE})

#: What each command must end in.
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
    """One event as it is published, and what is allowed to happen to it.

    ``event_id`` is None where nobody can be told from it: it must be kept in the fallback topic.
    ``reasons``: why it may be answered simulated. ``may_be_real``: whether real answers are right.
    """

    number: int
    user_id: str
    event_id: UUID | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    picture_sha256: str | None
    faces: int
    may_be_real: bool
    reasons: frozenset[FallbackReason]

    @property
    def key(self) -> bytes | None:
        """The record key."""
        return self.user_id.encode() if self.event_id is not None else None


@dataclass(frozen=True)
class Load:
    """``count`` events of a seed, a share of them bad; ``real`` ones carry photographs."""

    seed: int
    count: int
    real: bool
    picture_url: str
    bad_share: float = 0.05
    hang_share: float = 0.002
    claim_share: float = 0.05

    @property
    def pictures(self) -> dict[str, bytes]:
        """What the picture server holds."""
        if self.real:
            return {f"{n}.jpg": picture for n, picture in enumerate(photographs())}
        return {f"{n}.jpg": _made_up(random.Random(n), 2000) for n in range(16)}

    def events(self) -> Iterator[Event]:
        """The events, in the order of publishing; the same for the same seed."""
        rng = random.Random(f"events-{self.seed}")
        pool = photographs() if self.real else ()
        claimable = list(self.pictures.items())
        for number in range(self.count):
            dice = rng.random()
            picture = rng.choice(pool) if self.real else _made_up(rng, rng.randint(500, 4000))
            faces = 1 if self.real or rng.random() < 0.8 else 2
            if dice < self.hang_share:
                yield self._commanded(number, picture, Command.HANG)
            elif dice < self.bad_share:
                yield self._bad(number, picture, rng)
            elif dice < self.bad_share + self.claim_share:
                yield self._claim(number, *rng.choice(claimable))
            else:
                yield self._sound(number, picture, faces, binary=rng.random() < 0.5)

    def _sound(self, number: int, picture: bytes, faces: int, *, binary: bool) -> Event:
        return self._event(number, picture, faces=faces, binary=binary)

    def _commanded(self, number: int, picture: bytes, command: Command) -> Event:
        reasons = frozenset({VERDICTS[command]}) | TRANSIENT
        picture = commanded(picture, command)
        return self._event(number, picture, may_be_real=False, reasons=reasons)

    def _claim(self, number: int, name: str, picture: bytes) -> Event:
        event_id = self._id(number)
        digest = hashlib.sha256(picture).hexdigest()
        fields = {
            "event_id": str(event_id),
            "user_id": self._user(number),
            "image_uri": self.picture_url + name,
            "image_sha256": digest,
        }
        return self._made(number, event_id, fields, digest, reasons=_FETCH)

    def _bad(self, number: int, picture: bytes, rng: random.Random) -> Event:
        commands = [command for command in VERDICTS if command is not Command.HANG]
        kind = rng.choice([*commands, "nobody", "nonsense", "no picture", "digest", "declined"])
        if isinstance(kind, Command):
            return self._commanded(number, picture, kind)
        if kind in ("nobody", "nonsense"):
            value = b"\xff\xfe nonsense" if kind == "nonsense" else b'{"image_base64": "AAAA"}'
            return Event(
                number,
                self._user(number),
                None,
                value,
                self._mark(number),
                None,
                0,
                may_be_real=False,
                reasons=frozenset({FallbackReason.INVALID_EVENT}),
            )
        event_id = self._id(number)
        fields: dict[str, object] = {"event_id": str(event_id), "user_id": self._user(number)}
        reason = FallbackReason.INVALID_EVENT
        if kind != "no picture":
            fields["image_base64"] = base64.b64encode(picture).decode()
        if kind == "digest":
            fields["image_sha256"] = "0" * 64
        if kind == "declined":
            fields["use_real_ml"] = False
            reason = FallbackReason.REAL_ML_DISABLED
        return self._made(
            number, event_id, fields, None, may_be_real=False, reasons=frozenset({reason})
        )

    def _event(
        self,
        number: int,
        picture: bytes,
        *,
        faces: int = 1,
        binary: bool = True,
        may_be_real: bool = True,
        reasons: frozenset[FallbackReason] = TRANSIENT,
    ) -> Event:
        event_id = self._id(number)
        digest = hashlib.sha256(picture).hexdigest()
        if not binary or faces > 1:
            fields = {
                "event_id": str(event_id),
                "user_id": self._user(number),
                "image_base64": base64.b64encode(picture).decode(),
                "max_faces": faces,
            }
            return self._made(
                number,
                event_id,
                fields,
                digest,
                faces=faces,
                may_be_real=may_be_real,
                reasons=reasons,
            )
        headers = (
            ("content-type", b"image/jpeg"),
            ("ce_id", str(event_id).encode()),
            *self._mark(number),
        )
        return Event(
            number,
            self._user(number),
            event_id,
            picture,
            headers,
            digest,
            faces,
            may_be_real,
            reasons,
        )

    def _made(
        self,
        number: int,
        event_id: UUID,
        fields: dict[str, object] | dict[str, str],
        digest: str | None,
        *,
        faces: int = 1,
        may_be_real: bool = True,
        reasons: frozenset[FallbackReason],
    ) -> Event:
        return Event(
            number,
            self._user(number),
            event_id,
            json.dumps(fields).encode(),
            self._mark(number),
            digest,
            faces,
            may_be_real,
            reasons,
        )

    def _id(self, number: int) -> UUID:
        return uuid5(NAMESPACE, f"{self.seed}:{number}")

    def _user(self, number: int) -> str:
        return f"user-{number % USERS}"

    def _mark(self, number: int) -> tuple[tuple[str, bytes], ...]:
        return ((NUMBER_HEADER, str(number).encode()),)


def _made_up(rng: random.Random, size: int) -> bytes:
    return rng.randbytes(size)


def photographs() -> tuple[bytes, ...]:
    """Small photographs (at most 160 pixels) of two people, a dozen variants."""
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
