"""Which candidates count, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from models.detection.candidates import most_prominent, without_parts
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
    """A large face comes before a small one with a slightly higher score."""
    small, large, doubtful_large = face(0, 0, 20, 0.95), face(0, 0, 40, 0.9), face(0, 0, 40, 0.75)
    assert (large, doubtful_large, small) == choose(small, doubtful_large, large)


def test_of_equal_faces_the_central_one_comes_first() -> None:
    """Whatever the order of the candidates."""
    edge, centre = face(0, 0, 20, 0.9), face(90, 40, 20, 0.9)
    assert (centre, edge) == choose(edge, centre) == choose(centre, edge)


def test_max_faces_limits_the_result() -> None:
    """The most prominent faces are kept."""
    faces = [face(0, 0, side, 0.9) for side in (10, 50, 30)]
    assert (faces[1], faces[2]) == choose(*faces, max_faces=2)


def test_a_score_equal_to_the_minimum_is_accepted() -> None:
    """A lower score is not."""
    assert 1 == len(choose(face(0, 0, 10, 0.7), face(0, 0, 90, 0.69)))


def test_doubtful_faces_and_no_faces_are_different_errors() -> None:
    """The error of doubtful faces has the best score."""
    with pytest.raises(LowConfidence, match=r"0\.620.*0\.700") as caught:
        choose(face(0, 0, 90, 0.45), face(0, 0, 10, 0.62))
    assert (0.62, 0.7) == (caught.value.best, caught.value.minimum)
    with pytest.raises(NoFaceFound, match="200 x 100"):
        choose()


def test_a_part_of_a_face_is_dropped_and_a_neighbour_is_not() -> None:
    """A face mostly inside a better one is dropped; a better one inside a larger stays."""

    def detection(x: float, width: float, score: float) -> Detection:
        return Detection((x, 0.0, width, width), np.zeros((5, 2), np.float32), score)

    large, inside, beside = detection(0, 100, 0.9), detection(10, 30, 0.8), detection(90, 60, 0.7)
    assert (large, beside) == without_parts([inside, beside, large])
    better_inside = detection(10, 30, 0.95)
    assert (better_inside, large) == without_parts([large, better_inside])
