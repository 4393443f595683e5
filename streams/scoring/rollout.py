"""Decides real or simulated: the switches of the settings and of an event, and the rollout."""

from __future__ import annotations

import hashlib

from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from streams.config.scoring_settings import ScoringSettings
from streams.dead_letters import Failure

#: Part of the hash, so that the first users here are not the first ones of other rollouts.
SALT = b"facestream-rollout-v1:"
BUCKETS = 2**64


def rollout_bucket(user_id: str) -> int:
    """Return a user's place in the rollout, 0 to ``BUCKETS`` - 1: stable and uniform."""
    digest = hashlib.sha256(SALT + user_id.encode()).digest()
    return int.from_bytes(digest[:8], "big")


def is_rolled_out(user_id: str, percent: float) -> bool:
    """Whether a rollout of ``percent`` (0..100) includes the user.

    A user included at some percentage is included at every higher one.
    """
    # Python compares int and float exactly: 100 includes the last bucket.
    return rollout_bucket(user_id) < percent / 100 * BUCKETS


def simulation_reason(settings: ScoringSettings, event: ImageSubmitted) -> Failure | None:
    """Return why an event must not be scored for real; None if it may be.

    ``USE_REAL_ML=false`` decides for all events. Then the event's own ``use_real_ml`` decides, and
    where it is absent, the rollout.
    """
    if not settings.use_real_ml:
        return Failure(FallbackReason.REAL_ML_DISABLED, "real scoring is off (USE_REAL_ML=false)")
    if event.use_real_ml is False:
        return Failure(
            FallbackReason.REAL_ML_DISABLED,
            "the event asks for simulated scores (use_real_ml: false)",
        )
    percent = settings.real_ml_rollout_percent
    if event.use_real_ml is None and not is_rolled_out(event.user_id, percent):
        return Failure(
            FallbackReason.ROLLED_OUT_TO_SIMULATED,
            f"the rollout has not reached this user (REAL_ML_ROLLOUT_PERCENT={percent:g})",
        )
    return None
