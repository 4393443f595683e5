"""Attempts at scoring: which of them the circuit is told of, and how they are made again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

import agents.score_faces
import streams.telemetry.handling
from models.errors import InferenceFailed, UnreadableImage
from models.pipeline import FacePipeline, ScoredImage
from schemas.codec import encode_image_submitted
from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from streams.config.settings import Settings, load_settings
from streams.dead_letters import Failure
from streams.errors import InferenceTimeout
from streams.inference.circuit import Circuit, CircuitState
from streams.inference.pool import InferencePool
from streams.pictures.errors import ImageTimeout, ImageUnavailable
from streams.scoring.outcome import FellBack
from streams.scoring.scorer import Scorer
from streams.scoring.shadow import ShadowScorer
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeImages, FakeLog, FakePool, incoming
from tests.metrics_page import Series, series_of
from tools.pictures import crowd_bytes, portrait_bytes

FAILS = b"makes the models fail"


@dataclasses.dataclass(frozen=True)
class FragilePipeline(FacePipeline):
    """The real pipeline; one picture makes it fail."""

    def score(self, image: bytes, **options: Any) -> ScoredImage:
        """Fail, or score."""
        if image == FAILS:
            raise InferenceFailed("tests", "made to fail")
        return super().score(image, **options)


@pytest.fixture
def fragile(pipeline: FacePipeline) -> FragilePipeline:
    return FragilePipeline(pipeline.face_detector, pipeline.face_embedder, pipeline.limits)


def watched_circuit(threshold: float = 0.7, minimum: int = 1) -> Circuit:
    return Circuit(threshold=threshold, window=10, minimum=minimum)


async def told(pipeline: FacePipeline, image: bytes, timeout_s: float = 60) -> list[bool]:
    """What the circuit is told of one attempt: nothing, or how it went."""
    circuit = watched_circuit(threshold=0)
    pool = InferencePool(lambda: pipeline, threads=1, timeout_s=timeout_s, circuit=circuit)
    await pool.start()
    try:
        await pool.score(image, min_confidence=0.5, max_faces=64)
    except (InferenceFailed, InferenceTimeout, UnreadableImage):
        pass
    finally:
        await pool.stop()
    return list(circuit._recent)


async def test_the_circuit_is_told_of_what_the_models_did(fragile: FragilePipeline) -> None:
    """A score, a failure, a time-out; a broken picture says nothing about them."""
    assert [True] == await told(fragile, portrait_bytes())
    assert [False] == await told(fragile, FAILS)
    assert [False] == await told(fragile, crowd_bytes(), timeout_s=0.01)
    assert [] == await told(fragile, b"no picture")


async def test_the_built_in_picture_is_the_probe(fragile: FragilePipeline) -> None:
    """Scored like any other, in the pool."""
    circuit = watched_circuit(threshold=0)
    pool = InferencePool(lambda: fragile, threads=1, timeout_s=60, circuit=circuit)
    await pool.start()
    await pool.probe()
    await pool.stop()
    assert [True] == list(circuit._recent)


@pytest.fixture
def settings(no_environment: None) -> Settings:
    return load_settings(ml_backoff_ms=0, ml_attempts=3)


@dataclasses.dataclass
class Scoring:
    """A scorer whose pool and images do as the test says."""

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
        return series_of(self.metrics.registry.collect())


def as_message(event: ImageSubmitted) -> Any:
    return incoming(encode_image_submitted(event), key=event.user_id.encode())


def image_event(**fields: Any) -> ImageSubmitted:
    if "image_uri" not in fields:
        fields["image"] = b"picture"
    return ImageSubmitted(event_id=uuid4(), user_id="anna", **fields)


@pytest.fixture
def scoring(settings: Settings) -> Callable[..., Scoring]:
    def make(
        *outcomes: Exception, images: list[bytes | Exception] | None = None, **options: Any
    ) -> Scoring:
        pool, store = FakePool(list(outcomes)), FakeImages(images or [])
        circuit, metrics = watched_circuit(**options), Metrics()
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
    circuit.record(circuit.begin(), succeeded=False)
    assert CircuitState.OPEN == circuit.state


async def test_a_time_out_is_tried_three_times_and_counted(scoring: Callable[..., Scoring]) -> None:
    """Two retries, three time-outs, one fallback, one failed operation."""
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


async def test_a_picture_store_that_is_away_is_tried_again(scoring: Callable[..., Scoring]) -> None:
    """Its retries and time-outs are its own, and the models are not asked."""
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


async def test_an_attempt_that_is_made_again_is_no_stall(scoring: Callable[..., Scoring]) -> None:
    """With ML_ATTEMPTS=10 they take 95 s together: a restart would begin them anew, for ever."""
    one = scoring(*[InferenceTimeout(5)] * 3)
    await one.failure(image_event())
    assert 2 == len(one.waits), "at each retry, and not once more at the end"
    uri = "s3://pictures/anna.jpg"
    one = scoring(images=[ImageUnavailable(uri, "away")] * 3)
    await one.failure(image_event(image_uri=uri))
    assert 2 == len(one.waits), "fetching too"


def test_the_window_of_the_agent_is_told_of_attempts_that_are_made_again() -> None:
    """Liveness looks at it."""
    window = agents.score_faces.window
    window.state.last_progress = 0
    agents.score_faces.scorer._retries._on_wait()
    assert window.state.last_progress > 0


async def test_while_the_circuit_is_open_nothing_is_fetched_or_tried(
    scoring: Callable[..., Scoring],
) -> None:
    """The event falls back at once."""
    one = scoring(images=[b"picture"])
    open_circuit(one.circuit)
    failure = await one.failure(image_event(image_uri="s3://pictures/anna.jpg"))
    assert (FallbackReason.CIRCUIT_OPEN, 0) == (failure.reason, failure.attempts)
    assert ([], []) == (one.pool.asked, one.images.asked)
    assert 0 == one.series["facestream_operations_total", "real_ml", "failure"]


async def test_what_crowds_fall_back_for_is_no_line_in_the_log(
    scoring: Callable[..., Scoring], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollout at 0 %, USE_REAL_ML=false and an open circuit would write one for each event."""
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


async def test_an_event_that_was_fetched_meanwhile_says_that_the_models_were_not_tried(
    scoring: Callable[..., Scoring],
) -> None:
    """Attempts at fetching are none at scoring."""
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


async def test_an_event_that_waits_to_try_again_gives_up_when_the_circuit_opens(
    scoring: Callable[..., Scoring],
) -> None:
    """It says that it was tried once."""
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
async def test_who_is_shadowed(
    scoring: Callable[..., Scoring],
    *,
    reason: FallbackReason,
    enabled: bool,
    is_open: bool,
    shadowed: bool,
) -> None:
    """Whom the rollout has not reached, while the circuit is closed; nobody else."""
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
