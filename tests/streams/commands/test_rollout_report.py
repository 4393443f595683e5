"""The rollout report: its pairs of events, and its figures."""

from __future__ import annotations

import sys
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from schemas.fallback import FallbackReason
from schemas.scored_face import BoundingBox, Landmarks, ModelNames, ScoredFace, Timings, face_id_of
from schemas.shadow_scored import ShadowScored
from streams.commands.rollout_plot import plot
from streams.commands.rollout_report import Evidence, Spread
from streams.errors import StreamsError

NOW = datetime(2024, 5, 1, tzinfo=UTC)
POINT = (1.0, 1.0)
MODEL = ModelNames(
    detector="yunet", detector_sha256="a" * 64, embedder="sface", embedder_sha256="b" * 64
)
TIMINGS = Timings(queued=900.0, decode=1.0, detect=2.0, align=3.0, embed=4.0)


def scores(quality: float) -> dict[str, Any]:
    """Five scores, of which the tests compare the first."""
    return {
        "quality": quality,
        "frontality": 0.5,
        "symmetry": 0.5,
        "resolution": 0.5,
        "confidence": 0.5,
        "formula_version": "1",
    }


def simulated(event: int, quality: float, reason: FallbackReason) -> ScoredFace:
    event_id = UUID(int=event)
    return ScoredFace(
        event_id=event_id,
        face_id=face_id_of(event_id, 0),
        user_id="anna",
        face_index=0,
        face_count=1,
        embedding=(),
        embedding_size=0,
        provenance="simulated",
        fallback_reason=reason,
        scored_at=NOW,
        **scores(quality),
    )


def real(event: int, quality: float) -> ScoredFace:
    event_id = UUID(int=event)
    return ScoredFace(
        event_id=event_id,
        face_id=face_id_of(event_id, 0),
        user_id="ben",
        face_index=0,
        face_count=1,
        bounding_box=BoundingBox(x=0, y=0, width=1, height=1),
        landmarks=Landmarks(
            left_eye=POINT, right_eye=POINT, nose=POINT, mouth_left=POINT, mouth_right=POINT
        ),
        embedding=(1.0,),
        embedding_size=1,
        provenance="real",
        model=MODEL,
        timings_ms=TIMINGS,
        scored_at=NOW,
        **scores(quality),
    )


def shadow(event: int, quality: float) -> ShadowScored:
    return ShadowScored(
        event_id=UUID(int=event),
        face_count=1,
        detection_confidence=0.9,
        model=MODEL,
        timings_ms=TIMINGS,
        scored_at=NOW,
        **scores(quality),
    )


def refused(event: int) -> ShadowScored:
    return ShadowScored(
        event_id=UUID(int=event),
        face_count=0,
        fallback_reason=FallbackReason.NO_FACE,
        scored_at=NOW,
    )


ROLLED_OUT = FallbackReason.ROLLED_OUT_TO_SIMULATED


@pytest.fixture
def evidence() -> Evidence:
    """Two real faces; three simulated answers, of which two have a scored shadow."""
    one = Evidence()
    one.add_shadow(shadow(11, 0.5))  # may come before its answer
    for face in (
        real(1, 0.8),
        real(2, 0.6),
        simulated(11, 0.9, ROLLED_OUT),
        simulated(12, 0.3, ROLLED_OUT),
        simulated(13, 0.2, FallbackReason.NO_FACE),
    ):
        one.add_face(face)
    one.add_shadow(shadow(12, 0.4))
    one.add_shadow(refused(14))
    return one


def test_faces_answers_and_shadows_are_counted(evidence: Evidence) -> None:
    """By reason."""
    report = evidence.report()
    assert (2, 3, 3) == (report.real_faces, report.simulated_answers, report.shadows)
    assert {"rolled_out_to_simulated": 2, "no_face": 1} == report.simulated_by_reason
    assert {"no_face": 1} == report.shadows_refused_by_reason


def test_a_simulated_answer_is_paired_with_the_shadow_of_its_event(
    evidence: Evidence,
) -> None:
    """Simulated minus real: 0.9 - 0.5 and 0.3 - 0.4; an event without a partner is left out."""
    found = evidence.report().scores["quality"].simulated_minus_shadow
    assert pytest.approx((2, 0.15, 0.25, 0.37)) == astuple(found)


def test_scores_are_summarised_by_origin(evidence: Evidence) -> None:
    """Real, simulated and shadow scores are never mixed."""
    quality = evidence.report().scores["quality"]
    assert pytest.approx((2, 0.7)) == (quality.real.count, quality.real.mean)
    assert pytest.approx((3, 0.3)) == (quality.simulated.count, quality.simulated.median)
    assert pytest.approx((2, 0.45)) == (quality.shadow.count, quality.shadow.mean)


def test_milliseconds_do_not_include_the_queue(evidence: Evidence) -> None:
    """They are the sum of the steps on the picture."""
    assert 10.0 == evidence.report().real_milliseconds.median
    assert 2 == evidence.report().shadow_milliseconds.count


def test_a_repeated_event_counts_once(evidence: Evidence) -> None:
    """Delivery is at-least-once; the later answer counts."""
    evidence.add_face(real(1, 0.8))
    evidence.add_shadow(shadow(11, 0.5))
    evidence.add_face(real(13, 1.0))
    report = evidence.report()
    assert (3, 2, 3) == (report.real_faces, report.simulated_answers, report.shadows)


def test_empty_topics_give_a_report_without_figures() -> None:
    """And no error."""
    report = Evidence().report()
    assert Spread(0, None, None, None, None) == report.scores["quality"].real
    assert 0 == report.scores["quality"].simulated_minus_shadow.pairs


@pytest.mark.parametrize(("name", "magic"), [("plot.png", b"\x89PNG"), ("plot.svg", b"<?xml")])
def test_the_suffix_chooses_the_format_of_the_plot(
    evidence: Evidence, tmp_path: Path, name: str, magic: bytes
) -> None:
    """With and without events."""
    for one in (evidence, Evidence()):
        plot(one, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["plot.nothing", "no/such/folder/plot.png"])
def test_a_plot_that_cannot_be_written_is_reported(
    evidence: Evidence, tmp_path: Path, name: str
) -> None:
    """The message names the file."""
    with pytest.raises(StreamsError, match=name):
        plot(evidence, tmp_path / name)


def test_a_missing_matplotlib_is_reported(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(StreamsError, match="facestream\\[bench\\]"):
        plot(evidence, tmp_path / "plot.png")
