"""The two outcomes of scoring an event."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.image_submitted import ImageSubmitted
from streams.dead_letters import Failure
from streams.messages import Outgoing


@dataclass(frozen=True, slots=True)
class Scored:
    """The picture was scored: one scored-face message for each face, at least one."""

    faces: tuple[Outgoing, ...]


@dataclass(frozen=True, slots=True)
class FellBack:
    """The event was not scored for real."""

    failure: Failure
    shadowed: ImageSubmitted | None
    """The event, if it is to be scored in the shadow. Else None, which frees its picture."""
