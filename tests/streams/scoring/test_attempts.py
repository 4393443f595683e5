"""Attempts: what is counted and logged, and what an open circuit stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import agents.score_faces
import streams.scoring.retries
import streams.telemetry.handling
from models.errors import InferenceFailed, UnreadableImage
from models.pipeline import ScoredImage
from schemas.fallback import FallbackReason
from streams.config.settings import load_settings
from streams.errors import InferenceTimeout
from streams.pictures.errors import ImageTimeout, ImageUnavailable
from streams.scoring.retries import Retries
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeLog, incoming
from tests.streams.scoring.scoring_parts import Scoring, image_event, open_circuit


async def test_a_time_out_is_retried_and_counted(scoring: Callable[..., Scoring]) -> None:
    """Three attempts are two retries, three time-outs, one fallback and one failed operation."""
    one = scoring(*[InferenceTimeout(5)] * 3)
    failure = await one.failure(image_event())
    assert (FallbackReason.INFERENCE_TIMEOUT, 3) == (
        failure.fallback_reason,
        failure.fallback_attempts,
    )
    assert 2 == one.series["facestream_retries_total", "real_ml"]
    assert 3 == one.series["facestream_timeouts_total", "real_ml"]
    assert 1 == one.series["facestream_fallbacks_total", "inference_timeout"]
    assert 1 == one.series["facestream_operations_total", "real_ml", "failure"]


async def test_an_unavailable_picture_store_is_asked_again(scoring: Callable[..., Scoring]) -> None:
    """Its retries and time-outs are counted apart from those of scoring."""
    uri = "s3://pictures/anna.jpg"
    away: list[bytes | Exception] = [
        ImageTimeout(uri, "late"),
        ImageUnavailable(uri, "away"),
        ImageUnavailable(uri, "away"),
    ]
    one = scoring(images=away)
    failure = await one.failure(image_event(image_uri=uri))
    assert FallbackReason.IMAGE_UNAVAILABLE == failure.fallback_reason
    assert 2 == one.series["facestream_retries_total", "fetch"]
    assert 1 == one.series["facestream_timeouts_total", "fetch"]
    assert 0 == one.series["facestream_retries_total", "real_ml"]


async def test_each_retry_counts_as_progress(scoring: Callable[..., Scoring]) -> None:
    """Ten attempts take 95 s; a restart because of a stall would repeat them endlessly."""
    one = scoring(*[InferenceTimeout(5)] * 3)
    await one.failure(image_event())
    assert 2 == len(one.waits), "once for each retry"
    uri = "s3://pictures/anna.jpg"
    one = scoring(images=[ImageUnavailable(uri, "away")] * 3)
    await one.failure(image_event(image_uri=uri))
    assert 2 == len(one.waits), "retries of a fetch count too"


def test_the_window_of_the_agent_counts_retries_as_progress() -> None:
    """The liveness page reads it."""
    window = agents.score_faces.window
    window.state.last_progress = 0
    agents.score_faces.scorer._retries._on_wait()
    assert window.state.last_progress > 0


async def test_an_open_circuit_prevents_fetches_and_attempts(
    scoring: Callable[..., Scoring],
) -> None:
    """The event falls back at once."""
    one = scoring(images=[b"picture"])
    open_circuit(one.circuit)
    failure = await one.failure(image_event(image_uri="s3://pictures/anna.jpg"))
    assert (FallbackReason.CIRCUIT_OPEN, 0) == (failure.fallback_reason, failure.fallback_attempts)
    assert ([], []) == (one.pool.asked, one.images.asked)
    assert 0 == one.series["facestream_operations_total", "real_ml", "failure"]


async def test_bulk_reasons_are_logged_at_debug(
    scoring: Callable[..., Scoring], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollout at 0 % or an open circuit would otherwise log a line for each event."""
    log = FakeLog()
    monkeypatch.setattr(streams.telemetry.handling, "log", log)
    one = scoring(UnreadableImage("broken"))
    await one.failure(image_event())
    await one.failure(image_event(use_real_ml=False))
    one.scorer._settings = load_settings(real_ml_rollout_percent=0)
    await one.failure(image_event())
    one.scorer._settings = load_settings()
    open_circuit(one.circuit)
    await one.failure(image_event())
    assert [
        ("info", "unreadable_image"),
        ("debug", "real_ml_disabled"),
        ("debug", "rolled_out_to_simulated"),
        ("debug", "circuit_open"),
    ] == [(line["level"], line["reason"]) for line in log.lines]


async def test_a_circuit_that_opens_during_a_fetch_stops_the_first_attempt(
    scoring: Callable[..., Scoring],
) -> None:
    """The dead letter counts no attempt at scoring."""
    uri = "s3://pictures/anna.jpg"
    one = scoring(images=[ImageUnavailable(uri, "away"), b"picture"])
    fetch = one.images.fetch

    async def fetch_and_open(uri: str) -> bytes:
        if one.circuit.is_closed:
            open_circuit(one.circuit)
        return await fetch(uri)

    one.images.fetch = fetch_and_open  # type: ignore[method-assign]
    failure = await one.failure(image_event(image_uri=uri))
    assert (FallbackReason.CIRCUIT_OPEN, 0) == (failure.fallback_reason, failure.fallback_attempts)


async def test_a_circuit_that_opens_during_a_back_off_stops_the_retry(
    scoring: Callable[..., Scoring],
) -> None:
    """The dead letter counts the one attempt."""
    one = scoring(InferenceFailed("tests", "no"), InferenceFailed("tests", "no"))
    score = one.pool.score

    async def score_and_open(*given: Any, **options: Any) -> ScoredImage:
        try:
            return await score(*given, **options)
        finally:
            open_circuit(one.circuit)

    one.pool.score = score_and_open  # type: ignore[method-assign]
    failure = await one.failure(image_event())
    assert (FallbackReason.CIRCUIT_OPEN, 1) == (failure.fallback_reason, failure.fallback_attempts)
    assert 1 == len(one.pool.asked)
    assert 1 == one.series["facestream_operations_total", "real_ml", "failure"]


async def test_the_waits_between_attempts_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ML_BACKOFF_MS`` times 1, 2, …, each with up to a quarter of it as jitter."""
    waits: list[float] = []

    async def pause(seconds: float, _: Callable[[], bool]) -> None:
        waits.append(seconds)

    async def attempt(_: int) -> None:
        raise InferenceTimeout(5)

    monkeypatch.setattr(streams.scoring.retries, "pause", pause)
    retries = Retries(load_settings(ml_attempts=4, ml_backoff_ms=1000), is_leaving=lambda: False)
    with pytest.raises(InferenceTimeout):
        await retries.run("real_ml", attempt, (InferenceTimeout,), Handling(incoming(), Metrics()))
    assert len(waits) == 3
    for number, wait in enumerate(waits, 1):
        assert number <= wait <= number + 0.25


async def test_the_line_of_a_fallback_names_the_event(
    scoring: Callable[..., Scoring], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place in the topic, its id and its user."""
    log = FakeLog()
    monkeypatch.setattr(streams.telemetry.handling, "log", log)
    event = image_event()
    await scoring(UnreadableImage("broken")).failure(event)
    (line,) = log.lines
    assert (line["partition"], line["offset"]) == (3, 41)
    assert (line["event_id"], line["user_id"]) == (str(event.event_id), "anna")
    assert line["reason"] == "unreadable_image"
    assert "broken" in line["detail"]
