"""Compute what a load needs from the measured cost of an event, for ``docs/scaling.md``."""

from __future__ import annotations

import math
from dataclasses import dataclass

USED = 0.7
"""Share of the cores for a steady load; the rest catches up after a restart or a burst."""

CORES_PER_WORKER = 2
PARTITIONS_PER_WORKER = 2
"""The same for all workers: one with more partitions than others limits the group."""
REPLICATION = 3
RETAINED_H = 24
BROKER_WRITES_MB_S = 100.0
"""Planned writes of one broker, replicas included. An assumption for a common cloud machine, not
measured."""
QDRANT_OVERHEAD = 1.5
"""Qdrant's rule for memory: vectors * dimensions * 4 bytes * 1.5."""
FLOAT_BYTES = 4
CLAIM_CHECK_KB = 0.6
"""Size of an event with ``image_uri`` instead of a picture."""


@dataclass(frozen=True)
class EventCost:
    """The measured cost of an event: CPU of the worker and of its models, sizes on the wire.

    ``stream_ms``: CPU of the stream with stubbed models; None if not measured.
    """

    cpu_ms: float
    models_ms: float
    picture_kb: float
    answer_kb: float
    stream_ms: float | None = None

    @property
    def per_core(self) -> float:
        """Images per second of one fully used core."""
        return 1000 / self.cpu_ms

    @property
    def most_threads(self) -> int | None:
        """Maximum of inference threads that one worker's stream keeps busy; None if not measured.

        The interpreter lock limits the worker's Python code to one core.
        """
        return None if self.stream_ms is None else math.floor(self.models_ms / self.stream_ms)


@dataclass(frozen=True)
class Needs:
    """The needs of a load; MB and TB are decimal, and the disk holds all replicas."""

    images_s: float
    cores: int
    workers: int
    partitions: int
    in_mb_s: float
    out_mb_s: float
    broker_write_mb_s: float
    brokers: int
    disk_tb: float
    disk_claim_tb: float
    faces_per_day_m: float


def needs(images_s: float, cost: EventCost) -> Needs:
    """Compute the needs of a load.

    Events carry pictures of one face; the index and one client read each answer.
    """
    cores = math.ceil(round(images_s * cost.cpu_ms / 1000 / USED, 6))
    workers = math.ceil(cores / CORES_PER_WORKER)
    written = images_s * (cost.picture_kb + cost.answer_kb) / 1000
    claims = images_s * (CLAIM_CHECK_KB + cost.answer_kb) / 1000
    return Needs(
        images_s=images_s,
        cores=cores,
        workers=workers,
        partitions=PARTITIONS_PER_WORKER * workers,
        in_mb_s=images_s * cost.picture_kb / 1000,
        out_mb_s=images_s * (cost.picture_kb + 2 * cost.answer_kb) / 1000,
        broker_write_mb_s=written * REPLICATION,
        brokers=max(REPLICATION, math.ceil(written * REPLICATION / BROKER_WRITES_MB_S)),
        disk_tb=written * REPLICATION * RETAINED_H * 3600 / 1e6,
        disk_claim_tb=claims * REPLICATION * RETAINED_H * 3600 / 1e6,
        faces_per_day_m=images_s * 86_400 / 1e6,
    )


def qdrant_gb(points: float, dimensions: int) -> float:
    """Return the memory of vectors in RAM, without payload."""
    return points * dimensions * FLOAT_BYTES * QDRANT_OVERHEAD / 1e9
