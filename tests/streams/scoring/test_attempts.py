"""Attempts: what is counted and logged, and what an open circuit stops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

import agents.score_faces
import streams.telemetry.handling
from models.errors import InferenceFailed, UnreadableImage
from models.pipeline import ScoredImage
from schemas.codec import encode_image_submitted
from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from streams.config.settings import Settings, load_settings
from streams.dead_letters import Failure
from streams.errors import InferenceTimeout
from streams.inference.circuit import Circuit, CircuitState
from streams.pictures.errors import ImageTimeout, ImageUnavailable
from streams.scoring.outcome import FellBack
from streams.scoring.scorer import Scorer
from streams.scoring.shadow import ShadowScorer
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeImages, FakeLog, FakePool, incoming
from tests.metrics_page import Series, series_of


@pytest.fixture
def settings(no_environment: None) -> Settings:
    """Three attempts without waits between them."""
    return load_settings(ml_backoff_ms=0, ml_attempts=3)


@dataclasses.dataclass
class Scoring:
    """A scorer whose pool and picture store have the outcomes that a test gives."""

    scorer: Scorer
    pool: FakePool
    images: FakeImages
    circuit: Circuit
    metrics: Metrics
    waits: list[None]

    async def failure(self, event: ImageSubmitted) -> Failure:
        """Score an event that must fall back, and return its failure."""
        message = as_message(event)
        handling = Handling(message, self.metrics)
        outcome = await self.scorer.score(message, handling)
        assert isinstance(outcome, FellBack)
        handling.fell_back(outcome.failure.reason, outcome.failure.detail)
        return outcome.failure

    @property
    def series(self) -> Series:
        """The values of all metrics."""
        return series_of(self.metrics.registry.collect())


def as_message(event: ImageSubmitted) -> Any:
    """Return the message that carries an event."""
    return incoming(encode_image_submitted(event), key=event.user_id.encode())


def image_event(**fields: Any) -> ImageSubmitted:
    """Make an event, with an inline picture unless it has a URI."""
    if "image_uri" not in fields:
        fields["image"] = b"picture"
    return ImageSubmitted(event_id=uuid4(), user_id="anna", **fields)


@pytest.fixture
def scoring(settings: Settings) -> Callable[..., Scoring]:
    """A function that makes a ``Scoring`` with given outcomes of pool and picture store."""

    def make(*outcomes: Exception, images: list[bytes | Exception] | None = None) -> Scoring:
        pool, store = FakePool(list(outcomes)), FakeImages(images or [])
        circuit, metrics = Circuit(threshold=0.7, window=10, minimum=1), Metrics()
        waits: list[None] = []
        scorer = Scorer(
            settings,
            pool,  # type: ignore[arg-type]
            store,
            circuit=circuit,
            is_leaving=lambda: False,
            on_wait=lambda: waits.append(None),
        )
        return Scoring(scorer, pool, store, circuit, metrics, waits)

    return make


def open_circuit(circuit: Circuit) -> None:
    """Record the one failure that opens a circuit."""
    circuit.record(circuit.begin(), succeeded=False)
    assert CircuitState.OPEN == circuit.state


async def test_a_time_out_is_retried_and_counted(scoring: Callable[..., Scoring]) -> None:
    """Three attempts are two retries, three time-outs, one fallback and one failed operation."""
    one = scoring(*[InferenceTimeout(5)] * 3)
    failure = await one.failure(image_event())
    assert (FallbackReason.INFERENCE_TIMEOUT, 3) == (
        failure.reason,
        failure.attempts,
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
    assert FallbackReason.IMAGE_UNAVAILABLE == failure.reason
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
    assert (FallbackReason.CIRCUIT_OPEN, 0) == (failure.reason, failure.attempts)
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
    assert (FallbackReason.CIRCUIT_OPEN, 0) == (failure.reason, failure.attempts)


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
    assert (FallbackReason.CIRCUIT_OPEN, 1) == (failure.reason, failure.attempts)
    assert 1 == len(one.pool.asked)
    assert 1 == one.series["facestream_operations_total", "real_ml", "failure"]


@pytest.mark.parametrize(
    ("reason", "enabled", "is_open", "shadowed"),
    [
        (FallbackReason.ROLLED_OUT_TO_SIMULATED, True, False, True),
        (FallbackReason.ROLLED_OUT_TO_SIMULATED, False, False, False),
        (FallbackReason.ROLLED_OUT_TO_SIMULATED, True, True, False),
        (FallbackReason.REAL_ML_DISABLED, True, False, False),
        (FallbackReason.NO_FACE, True, False, False),
    ],
)
async def test_only_events_that_the_rollout_has_not_reached_are_shadowed(
    scoring: Callable[..., Scoring],
    *,
    reason: FallbackReason,
    enabled: bool,
    is_open: bool,
    shadowed: bool,
) -> None:
    """Shadows must also be enabled, and the circuit closed."""
    one = scoring(UnreadableImage("broken"))
    if is_open:
        open_circuit(one.circuit)
    shadow = ShadowScorer(
        "shadow-scored",
        one.pool,  # type: ignore[arg-type]
        one.scorer.pictures,
        enabled=enabled,
        circuit=one.circuit,
        is_leaving=lambda: False,
    )
    event = image_event()
    message = as_message(event)
    outcome = FellBack(Failure(reason, "detail"), event)
    records = await shadow.messages(outcome, message, Handling(message, one.metrics))
    assert shadowed == bool(one.pool.asked) == bool(records)
    assert all(record.topic == "shadow-scored" for record in records)
