"""Shadows: which events are scored in the shadow, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from models.errors import InferenceTerminated, UnreadableImage
from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from streams.config.settings import load_settings
from streams.dead_letters import Failure
from streams.errors import Abandoned
from streams.inference.circuit import Circuit
from streams.inference.pool import InferencePool
from streams.scoring.outcome import FellBack, Scored
from streams.scoring.scorer import Scorer
from streams.scoring.shadow import ShadowScorer
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics
from tests.fakes import FakeImages
from tests.metrics_page import series_of
from tests.streams.scoring.scoring_parts import Scoring, as_message, image_event, open_circuit
from tools.pictures import portrait_bytes


async def outcome_of(one: Scoring, event: ImageSubmitted) -> FellBack:
    """Score an event that falls back."""
    message = as_message(event)
    outcome = await one.scorer.score(message, Handling(message, one.metrics))
    assert isinstance(outcome, FellBack)
    return outcome


@pytest.mark.parametrize(
    ("chosen", "event", "shadowed"),
    [
        ({"shadow_ml": True, "real_ml_rollout_percent": 0}, {}, True),
        ({"shadow_ml": False, "real_ml_rollout_percent": 0}, {}, False),
        ({"shadow_ml": True, "real_ml_rollout_percent": 0}, {"use_real_ml": False}, False),
        ({"shadow_ml": True, "use_real_ml": False}, {}, False),
        ({"shadow_ml": True}, {}, False),
    ],
    ids=["rolled out", "off", "asked for simulated", "real scoring off", "unreadable"],
)
async def test_only_events_that_the_rollout_has_not_reached_are_shadowed(
    scoring: Callable[..., Scoring],
    chosen: dict[str, Any],
    event: dict[str, Any],
    shadowed: bool,
) -> None:
    """Shadows must also be enabled. Other events are not kept, so that their pictures are freed."""
    one = scoring(UnreadableImage("broken"))
    one.scorer._settings = load_settings(**chosen)
    sent = image_event(**event)
    outcome = await outcome_of(one, sent)
    assert bool(outcome.shadowed) == shadowed


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_shadow_is_scored_once_while_the_circuit_is_closed(
    scoring: Callable[..., Scoring], is_open: bool
) -> None:
    """A refused picture is a shadow too, and counted."""
    one = scoring(UnreadableImage("broken"))
    if is_open:
        open_circuit(one.circuit)
    event = image_event()
    message = as_message(event)
    outcome = FellBack(Failure(FallbackReason.ROLLED_OUT_TO_SIMULATED, "detail"), event)
    records = await one.shadow().messages(outcome, message, Handling(message, one.metrics))
    assert [record.topic for record in records] == ([] if is_open else ["shadow-scored"])
    assert len(one.pool.asked) == len(records)
    refused = one.series["facestream_operations_total", "shadow", "rejected"]
    assert refused == len(records)


async def test_a_shadow_that_a_stop_cuts_off_is_abandoned(
    scoring: Callable[..., Scoring],
) -> None:
    """The picture did not fail; the event's next owner shadows it."""
    one = scoring(InferenceTerminated())
    event = image_event()
    message = as_message(event)
    outcome = FellBack(Failure(FallbackReason.ROLLED_OUT_TO_SIMULATED, "detail"), event)
    with pytest.raises(Abandoned):
        await one.shadow(leaving=True).messages(outcome, message, Handling(message, one.metrics))


async def test_real_scores_and_shadows_are_counted_and_timed(pool: InferencePool) -> None:
    """The record of the handling and the metrics agree."""
    event = image_event().model_copy(update={"image": portrait_bytes()})
    message = as_message(event)
    metrics = Metrics()
    scorer = Scorer(
        load_settings(),
        pool,
        FakeImages(),
        circuit=Circuit(threshold=0, window=1, minimum=1),
        is_leaving=lambda: False,
    )
    handling = Handling(message, metrics)
    assert isinstance(await scorer.score(message, handling), Scored)
    assert handling.outcomes == {"real_ml": "success"}
    assert {"decode", "detect", "align", "embed"} <= set(handling.stages)
    shadow = ShadowScorer(
        "shadow-scored",
        pool,
        scorer.pictures,
        circuit=Circuit(threshold=0, window=1, minimum=1),
        is_leaving=lambda: False,
    )
    outcome = FellBack(Failure(FallbackReason.ROLLED_OUT_TO_SIMULATED, "detail"), event)
    assert await shadow.messages(outcome, message, Handling(message, metrics))
    series = series_of(metrics.registry.collect())
    for operation in ("real_ml", "shadow"):
        assert series["facestream_operations_total", operation, "success"] == 1
    for stage in ("decode", "detect", "align", "embed"):
        assert series["facestream_stage_duration_seconds_count", stage] == 1
