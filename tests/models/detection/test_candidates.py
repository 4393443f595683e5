from __future__ import annotations

import numpy as np
import pytest

from models.detection.candidates import most_prominent
from models.detection.detector import Detection
from models.errors import LowConfidence, NoFaceFound


def face(x: float, y: float, side: float, confidence: float) -> Detection:
    return Detection((x, y, side, side), np.zeros((5, 2), np.float32), confidence)


def choose(
    *faces: Detection, min_confidence: float = 0.7, max_faces: int = 9
) -> tuple[Detection, ...]:
    return most_prominent(
        faces, min_confidence=min_confidence, max_faces=max_faces, width=200, height=100
    )


def test_prominence_is_area_times_confidence() -> None:
    """A large face comes before a small one that is a little surer."""
    small, large, doubtful_large = face(0, 0, 20, 0.95), face(0, 0, 40, 0.9), face(0, 0, 40, 0.75)
    assert (large, doubtful_large, small) == choose(small, doubtful_large, large)


def test_of_two_alike_the_central_one_comes_first() -> None:
    """The order is the same whatever order the detector found them in."""
    edge, centre = face(0, 0, 20, 0.9), face(90, 40, 20, 0.9)
    assert (centre, edge) == choose(edge, centre) == choose(centre, edge)


def test_only_max_faces_are_kept() -> None:
    """The most prominent ones."""
    faces = [face(0, 0, side, 0.9) for side in (10, 50, 30)]
    assert (faces[1], faces[2]) == choose(*faces, max_faces=2)


def test_the_minimum_itself_is_enough() -> None:
    """At or above, not above."""
    assert 1 == len(choose(face(0, 0, 10, 0.7), face(0, 0, 90, 0.69)))


def test_doubtful_faces_are_told_from_none() -> None:
    """The best doubtful one is in the error."""
    with pytest.raises(LowConfidence, match=r"0\.620.*0\.700") as caught:
        choose(face(0, 0, 90, 0.45), face(0, 0, 10, 0.62))
    assert (0.62, 0.7) == (caught.value.best, caught.value.minimum)
    with pytest.raises(NoFaceFound, match="200 x 100"):
        choose()
