"""Decode a picture and find its faces, a large JPEG at reduced size when that is enough."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from models.detection.bound_detector import MorePixelsNeeded
from models.detection.detector import Detection, FaceDetector
from models.detection.face_search import LARGE_FRAME, FaceSearch
from models.errors import LowConfidence, NoFaceFound
from models.pictures.decoded_picture import DecodedPicture
from models.pictures.decoding import DecodeLimits, decode, decode_reduced
from models.stage_clock import StageClock

ENOUGH_BETWEEN_EYES = 36.0
"""Pixels between the eyes from which a face in a reduced picture has all the detail needed: the
aligned crop has 35. A close-up of such a face is not enlarged either."""


@dataclass(frozen=True)
class FoundFaces:
    """``faces``: in pixels of ``picture``; when there are none, ``problem`` says why."""

    picture: DecodedPicture
    faces: tuple[Detection, ...]
    problem: NoFaceFound | LowConfidence | None = None


@dataclass(frozen=True)
class PictureSearch:
    """Finds the faces of picture files with one detector; keeps no state between calls."""

    detector: FaceDetector
    limits: DecodeLimits

    def find(
        self, image: bytes, *, min_confidence: float, max_faces: int, clock: StageClock
    ) -> FoundFaces:
        """Search a large JPEG at reduced size first, and whole only when that is not enough.

        It is not enough when a face is small, or needs a close-up with more pixels than the
        reduced picture has. Raises ``UnreadableImage``, ``ImageTooLarge``, ``InferenceFailed`` or
        ``InferenceTerminated``.
        """
        with clock.stage("decode"):
            picture = decode_reduced(image, self.limits, longest_side=LARGE_FRAME)
        if picture.is_reduced:
            with suppress(MorePixelsNeeded):
                found = self._search(picture, min_confidence, max_faces, clock)
                if all(face.interocular >= ENOUGH_BETWEEN_EYES for face in found.faces):
                    return found
            with clock.stage("decode"):
                picture = DecodedPicture.whole(decode(image, self.limits))
        return self._search(picture, min_confidence, max_faces, clock)

    def _search(
        self, picture: DecodedPicture, min_confidence: float, max_faces: int, clock: StageClock
    ) -> FoundFaces:
        """Search one picture. Raises ``MorePixelsNeeded`` for a reduced one."""
        try:
            with clock.stage("detect"):
                faces = FaceSearch(self.detector).faces(
                    picture.pixels,
                    min_confidence=min_confidence,
                    max_faces=max_faces,
                    cancellation=clock.cancellation,
                    reduced=picture.is_reduced,
                )
        except NoFaceFound:
            # The search knows only the reduced size.
            return FoundFaces(picture, (), NoFaceFound(picture.width, picture.height))
        except LowConfidence as problem:
            return FoundFaces(picture, (), problem)
        return FoundFaces(picture, faces)
