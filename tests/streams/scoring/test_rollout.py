"""The gradual rollout: stable for each user, monotonic and even."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.fallback import FallbackReason
from schemas.image_submitted import ImageSubmitted
from streams.config.settings import load_settings
from streams.scoring.rollout import is_rolled_out, rollout_bucket, simulation_reason

PERCENT = st.floats(0, 100)


@given(st.text(), PERCENT, PERCENT)
def test_a_user_stays_included_as_the_rollout_grows(user_id: str, one: float, other: float) -> None:
    """A larger percentage includes every user of a smaller one."""
    less, more = sorted((one, other))
    assert is_rolled_out(user_id, less) <= is_rolled_out(user_id, more)


@given(st.text())
def test_0_percent_includes_no_user_and_100_percent_every_user(user_id: str) -> None:
    """At both ends the result does not depend on the hash."""
    assert not is_rolled_out(user_id, 0)
    assert is_rolled_out(user_id, 100)


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_the_share_of_users_is_the_percentage(percent: int) -> None:
    """It is within four standard deviations, for similar ids."""
    users = 20_000
    inside = sum(is_rolled_out(f"user-{number}", percent) for number in range(users))
    share = percent / 100
    assert abs(inside - users * share) < 4 * (users * share * (1 - share)) ** 0.5


@pytest.mark.parametrize(
    ("user_id", "bucket"),
    [
        ("user-1", 5753425845164162254),
        ("user-2", 15661710111418864992),
        ("Łukasz", 6464624316584215437),
    ],
)
def test_the_bucket_of_a_user_never_changes(user_id: str, bucket: int) -> None:
    """A different hash would move users in or out during a rollout."""
    assert bucket == rollout_bucket(user_id)


def event(use_real_ml: bool | None) -> ImageSubmitted:
    """Make an event with this ``use_real_ml``."""
    return ImageSubmitted(
        event_id=UUID(int=1), user_id="anna", image=b"picture", use_real_ml=use_real_ml
    )


DISABLED = FallbackReason.REAL_ML_DISABLED
ROLLED_OUT = FallbackReason.ROLLED_OUT_TO_SIMULATED


@pytest.mark.parametrize(
    ("on", "percent", "asked", "reason"),
    [
        (True, 100, None, None),
        (True, 100, True, None),
        (True, 100, False, DISABLED),
        (True, 0, None, ROLLED_OUT),
        (True, 0, True, None),
        (True, 0, False, DISABLED),
        (False, 100, None, DISABLED),
        (False, 100, True, DISABLED),
        (False, 0, None, DISABLED),
    ],
)
@pytest.mark.usefixtures("no_environment")
def test_the_order_of_the_switches(
    on: bool, percent: float, asked: bool | None, reason: FallbackReason | None
) -> None:
    """``USE_REAL_ML`` comes first, then the event's ``use_real_ml``, then the rollout."""
    settings = load_settings(use_real_ml=on, real_ml_rollout_percent=percent)
    found = simulation_reason(settings, event(asked))
    assert reason == (found.reason if found else None)
    assert found is None or found.detail
