"""How a picture is searched for faces: at which sizes and rotations, at a bounded cost.

The common picture, one upright face, costs one run of the detector. More runs follow only when
they may find more, up to ``MAX_RUNS_PER_PICTURE`` for the picture and ``MAX_RUNS_PER_FACE`` for
each face that is examined in close-ups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detection.bound_detector import BoundDetector, MorePixelsNeeded
from models.detection.candidates import (
    CANDIDATE_FLOOR,
    SURE,
    at_or_above,
    most_prominent,
    without_overlaps,
    without_parts,
)
from models.detection.detector import Detection, FaceDetector
from models.detection.rotated_faces import SCORE_NOISE, straightened
from models.detection.views import quarter_turned, shrunk
from models.errors import LowConfidence
from models.session import Cancellation

Pixels = NDArray[np.uint8]

SMALL_FRAME = 400
"""Smaller pictures are enlarged to this longest side, which makes landmarks finer. On LFW's 250
pixels, 1,200 pairs: 99.25 % right at 400, against 99.08 at 320 and 99.00 unscaled with SFace, and
99.17 against 98.58 and 98.83 with fr_feature."""

LARGE_FRAME = 1280
"""Least longest side of a picture that is searched at sizes beyond 640."""

ROTATED_MINIMUM = 0.85
"""Least score of a face that is found only after rotating the picture: more tries find more things
that are not faces (an upside-down cat scores 0.83)."""

MAX_DOUBTFUL = 2
"""Doubtful faces examined in close-ups when no rotation of the picture shows a good one."""

MAX_STRAIGHTENED = 8
"""Faces, most prominent first, that are examined in close-ups when they are doubtful. Each may cost
several runs: without a bound, a crowd requested down to a low score takes seconds."""

MAX_RUNS_PER_PICTURE = 3 + 3 * 2
"""Three sizes upright, then three rotations at up to two sizes."""


@dataclass(frozen=True)
class FaceSearch:
    """Finds the faces of a picture with one detector; keeps no state between calls."""

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
        """Find the ``max_faces`` most prominent faces from ``min_confidence`` up, in any rotation.

        ``image``: (height, width, 3) uint8 BGR; ``reduced``: its source has more pixels. Raises
        ``NoFaceFound``, ``LowConfidence``, ``InferenceFailed``, ``InferenceTerminated``, and for
        a reduced picture ``MorePixelsNeeded``.
        """
        floor = min(CANDIDATE_FLOOR, min_confidence)
        bound = BoundDetector(self.detector, floor, cancellation, reduced)
        candidates = self._upright(image, min_confidence, max_faces, bound)
        if reduced:
            _check_near_misses(candidates, min_confidence)
        minimum = max(min_confidence, ROTATED_MINIMUM)
        if not at_or_above(candidates, max(min_confidence, SURE)):
            # A good rotated face is worth more than doubtful upright ones.
            candidates = self._rotated(image, minimum, bound, sizes=2) or candidates
        elif len(at_or_above(candidates, min_confidence)) < max_faces:
            candidates += self._rotated(image, minimum, bound, sizes=1)
        else:
            try:
                return _confirmed(image, candidates, min_confidence, max_faces, bound)
            except LowConfidence:
                # The close-ups rejected every upright candidate.
                candidates = self._rotated(image, minimum, bound, sizes=2)
                if not candidates:
                    raise
        return _confirmed(image, candidates, min_confidence, max_faces, bound)

    def straighten(
        self, image: Pixels, face: Detection, *, min_confidence: float, cancellation: Cancellation
    ) -> Detection | None:
        """Examine a face in all rotations, for one that is hard to recognise despite its score.

        Returns None when the face is upright, or scores below ``min_confidence`` in its best
        rotation. Raises the errors of ``faces``.
        """
        bound = BoundDetector(self.detector, CANDIDATE_FLOOR, cancellation)
        other = straightened(image, face, bound, doubted=True)
        if other is None or other is face or other.detection_confidence < min_confidence:
            return None
        return other

    def _upright(
        self, image: Pixels, min_confidence: float, max_faces: int, bound: BoundDetector
    ) -> list[Detection]:
        """Find upright candidates at the sizes that the picture needs.

        When one face is wanted, the next size is tried only if the previous one shows none. For
        several faces all sizes are needed: a face that fills the frame is missed at a large size,
        small faces at a small one.
        """
        found: list[Detection] = []
        for side in _useful_sizes(self.detector.sizes, max(image.shape[:2])):
            found += bound.detect(image, side)
            if max_faces == 1 and at_or_above(found, min_confidence):
                break
        return found

    def _rotated(
        self, image: Pixels, minimum: float, bound: BoundDetector, *, sizes: int
    ) -> list[Detection]:
        """Find faces at or above ``minimum`` that are sideways, upside down or tilted.

        Searches the first ``sizes``, each only when the previous one shows none.
        """
        doubtful: list[Detection] = []
        for side in _useful_sizes(self.detector.sizes, max(image.shape[:2]))[:sizes]:
            small = shrunk(image, side)
            for turns in (1, 2, 3):
                doubtful += bound.detect_in(quarter_turned(small, turns))
            if found := at_or_above(doubtful, minimum):
                return found
        # A tilted face is doubtful at every right angle.
        apart = without_overlaps(doubtful, bound.floor)
        best = sorted(apart, key=lambda face: -face.detection_confidence)[:MAX_DOUBTFUL]
        examined = [straightened(image, face, bound) for face in best]
        return at_or_above([face for face in examined if face is not None], minimum)


def _check_near_misses(candidates: Sequence[Detection], min_confidence: float) -> None:
    """Raise ``MorePixelsNeeded`` when a candidate is so close that all pixels might accept it."""
    near = at_or_above(candidates, min_confidence - SCORE_NOISE)
    if len(near) > len(at_or_above(candidates, min_confidence)):
        raise MorePixelsNeeded


def _confirmed(
    image: Pixels,
    candidates: Sequence[Detection],
    min_confidence: float,
    max_faces: int,
    bound: BoundDetector,
) -> tuple[Detection, ...]:
    """Return the ``max_faces`` most prominent faces that close-ups confirm, doubtful ones last.

    Close-ups reject some: a hand, a record on the wall and a man from behind scored 0.70 to 0.81
    in the whole picture, and 0.43 to 0.67 in close-ups. Raises ``NoFaceFound`` or
    ``LowConfidence``.
    """
    height, width = image.shape[:2]
    ranked = most_prominent(
        without_parts(without_overlaps(candidates, bound.floor)),
        min_confidence=min_confidence,
        max_faces=len(candidates),
        width=width,
        height=height,
    )
    sure: list[Detection] = []
    doubtful: list[Detection] = []
    for number, face in enumerate(ranked):
        # Once one is below SURE, all that follow are.
        enough = sure if face.detection_confidence >= SURE else [*sure, *doubtful]
        if len(enough) >= max_faces:
            break
        examined = straightened(image, face, bound) if number < MAX_STRAIGHTENED else face
        if examined is not None:
            (sure if examined.detection_confidence >= SURE else doubtful).append(examined)
    accepted = at_or_above([*sure, *doubtful], min_confidence)
    if not accepted:
        best = max((face.detection_confidence for face in [*sure, *doubtful]), default=0.0)
        raise LowConfidence(best, min_confidence)
    return tuple(accepted[:max_faces])


def _useful_sizes(sizes: Sequence[int], longest: int) -> Sequence[int]:
    """Return the sizes at which a picture with that longest side is worth a run."""
    first, *others = sizes
    if longest <= SMALL_FRAME:
        return [max(first, SMALL_FRAME)]
    larger = [side for side in others if side < LARGE_FRAME or longest >= LARGE_FRAME]
    # Only a picture that is larger than the previous size shows more at the next one.
    return [
        first,
        *(
            min(side, longest)
            for side, before in zip(larger, sizes, strict=False)
            if longest > before
        ),
    ]
