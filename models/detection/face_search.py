"""How a picture is searched: at which sizes, which way up, and how often at most.

The common picture, one upright face, costs one look. More looks follow only when they may find
more, and their number is bounded: see `MOST_LOOKS_A_PICTURE` and `MOST_LOOKS_A_FACE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detection.detector import (
    CANDIDATE_FLOOR,
    SURE,
    Detection,
    FaceDetector,
    most_prominent,
    without_overlaps,
    without_parts,
)
from models.detection.rotated_faces import SCORE_NOISE, Looks, MorePixelsNeeded, straightened
from models.detection.views import quarter_turned, shrunk
from models.errors import LowConfidence
from models.session import Cancellation

Pixels = NDArray[np.uint8]

SMALL_FRAME = 400
"""A picture of no more than this is enlarged to it: the landmarks come out finer. On LFW's 250
pixels, 1,200 pairs: 99.25 % right at 400 in place of 99.08 at 320 and 99.00 unscaled with SFace,
99.17 in place of 98.58 and 98.83 with fr_feature."""

LARGE_FRAME = 1280
"""Sides beyond 640 are only for pictures with a longest side of at least this."""

TURNED_MINIMUM = 0.85
"""A face that shows only after turning must score this at least: more tries find more things that
are no faces (a cat upside down: 0.83)."""

MOST_DOUBTFUL = 2
"""Doubtful faces that get close-ups when there are not enough better ones."""

MOST_STRAIGHTENED = 8
"""Faces, most prominent first, that are looked at more closely where they are doubtful. Each
may cost several looks: without a bound, a crowd asked for down to the last doubt takes seconds."""

MOST_LOOKS_A_PICTURE = 3 + 3 * 2


@dataclass(frozen=True)
class FaceSearch:
    """Finds the faces of a picture with one detector; keeps nothing between calls."""

    detector: FaceDetector

    def faces(
        self,
        image: Pixels,
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation,
        reduced: bool = False,
    ) -> tuple[Detection, ...]:
        """The `max_faces` most prominent faces at or above `min_confidence`, whichever way up.

        `image`: (height, width, 3) uint8 BGR; `reduced`: its source has more pixels. Raises
        NoFaceFound, LowConfidence, InferenceFailed, InferenceTerminated, or, where it is reduced,
        MorePixelsNeeded.
        """
        floor = min(CANDIDATE_FLOOR, min_confidence)
        look = Looks(self.detector, floor, cancellation, reduced)
        candidates = self._upright(image, min_confidence, max_faces, look)
        if reduced and len(_accepted(candidates, min_confidence - SCORE_NOISE)) > len(
            _accepted(candidates, min_confidence)
        ):
            # Among all its pixels it may just be one.
            raise MorePixelsNeeded
        minimum = max(min_confidence, TURNED_MINIMUM)
        if not _accepted(candidates, max(min_confidence, SURE)):
            # A good face on its side is worth more than doubtful ones upright.
            candidates = self._turned(image, minimum, look, sizes=2) or candidates
        elif len(_accepted(candidates, min_confidence)) < max_faces:
            candidates += self._turned(image, minimum, look, sizes=1)
        else:
            try:
                return self._chosen(image, candidates, min_confidence, max_faces, look)
            except LowConfidence:
                # What had seemed to be enough was nothing.
                candidates = self._turned(image, minimum, look, sizes=2)
                if not candidates:
                    raise
        return self._chosen(image, candidates, min_confidence, max_faces, look)

    def straighten(
        self, image: Pixels, face: Detection, *, min_confidence: float, cancellation: Cancellation
    ) -> Detection | None:
        """A face that turned out hard to recognise, held another way; None where it is upright,
        or under `min_confidence` that way.

        For tilted faces whose score gives no reason for doubt. Raises as `faces`.
        """
        look = Looks(self.detector, CANDIDATE_FLOOR, cancellation)
        other = straightened(image, face, look, doubted=True)
        if other is None or other is face or other.detection_confidence < min_confidence:
            return None
        return other

    def _chosen(
        self,
        image: Pixels,
        candidates: Sequence[Detection],
        min_confidence: float,
        max_faces: int,
        look: Looks,
    ) -> tuple[Detection, ...]:
        """The `max_faces` most prominent that a closer look leaves at or above the minimum; those
        that it leaves doubtful come last.

        It takes some back: a hand, a record on the wall and a man from behind had scored 0.70 to
        0.81 in the whole picture, and 0.43 to 0.67 from near. Raises NoFaceFound or LowConfidence.
        """
        height, width = image.shape[:2]
        ranked = most_prominent(
            without_parts(without_overlaps(candidates, look.floor)),
            min_confidence=min_confidence,
            max_faces=len(candidates),
            width=width,
            height=height,
        )
        sure: list[Detection] = []
        doubtful: list[Detection] = []
        for number, face in enumerate(ranked):
            # All that follow a face below SURE are below it too.
            enough = sure if face.detection_confidence >= SURE else [*sure, *doubtful]
            if len(enough) >= max_faces:
                break
            held = straightened(image, face, look) if number < MOST_STRAIGHTENED else face
            if held is not None:
                (sure if held.detection_confidence >= SURE else doubtful).append(held)
        accepted = _accepted([*sure, *doubtful], min_confidence)
        if not accepted:
            best = max((face.detection_confidence for face in [*sure, *doubtful]), default=0.0)
            raise LowConfidence(best, min_confidence)
        return tuple(accepted[:max_faces])

    def _upright(
        self, image: Pixels, min_confidence: float, max_faces: int, look: Looks
    ) -> list[Detection]:
        """Candidates from the sizes that the picture needs.

        One wanted face: the next size only when the one before shows none. Several: all sizes,
        because a face that fills the frame is lost at a large size and small ones at a small.
        """
        found: list[Detection] = []
        for side in _worthwhile(self.detector.sizes, max(image.shape[:2])):
            found += look.at(image, side)
            if max_faces == 1 and _accepted(found, min_confidence):
                break
        return found

    def _turned(self, image: Pixels, minimum: float, look: Looks, *, sizes: int) -> list[Detection]:
        """Faces at or above `minimum` that lie on a side of the picture, upside down or askew.

        Looked for at the first `sizes`, the next one only where the one before shows none.
        """
        doubtful: list[Detection] = []
        for side in _worthwhile(self.detector.sizes, max(image.shape[:2]))[:sizes]:
            small = shrunk(image, side)
            for turns in (1, 2, 3):
                doubtful += look.into(quarter_turned(small, turns))
            if found := _accepted(doubtful, minimum):
                return found
        # Askew they are doubtful whichever side is up.
        apart = without_overlaps(doubtful, look.floor)
        best = sorted(apart, key=lambda face: -face.detection_confidence)[:MOST_DOUBTFUL]
        held = [straightened(image, face, look) for face in best]
        return _accepted([face for face in held if face is not None], minimum)


def _worthwhile(sizes: Sequence[int], longest: int) -> Sequence[int]:
    first, *others = sizes
    if longest <= SMALL_FRAME:
        return [max(first, SMALL_FRAME)]
    larger = [side for side in others if side < LARGE_FRAME or longest >= LARGE_FRAME]
    # Only a picture that is larger than the size before can show more at the next.
    return [
        first,
        *(
            min(side, longest)
            for side, before in zip(larger, sizes, strict=False)
            if longest > before
        ),
    ]


def _accepted(candidates: Sequence[Detection], minimum: float) -> list[Detection]:
    return [face for face in candidates if face.detection_confidence >= minimum]
