"""What a load needs: the arithmetic of docs/scaling.md, from the measured cost of one event."""

from __future__ import annotations

import math
from dataclasses import dataclass

USED = 0.7
"""Share of the cores that a steady load may use: the rest catches up after a restart or a burst."""

CORES_A_WORKER = 2
PARTITIONS_A_WORKER = 2
"""As many for each: a worker with one more than others sets the pace of all."""
REPLICATION = 3
RETAINED_H = 24
BROKER_WRITES_MB_S = 100.0
"""Planned for one broker, copies of other brokers' partitions among them: an assumption, for disk
and network of an ordinary cloud machine. Nothing here measured it."""
QDRANT_OVERHEAD = 1.5
"""Qdrant's own rule for memory: vectors * dimensions * 4 bytes * 1.5."""
FLOAT_BYTES = 4
CLAIM_CHECK_KB = 0.6
"""An event that carries `image_uri` in place of the picture."""


@dataclass(frozen=True)
class EventCost:
    """One event, measured: CPU of the worker and of the models in it, sizes on the wire.

    stream_ms: CPU of the stream alone, with a stand-in for the models; None: not measured.
    """

    cpu_ms: float
    models_ms: float
    picture_kb: float
    answer_kb: float
    stream_ms: float | None = None

    @property
    def per_core(self) -> float:
        """Images a second of one core that does nothing else."""
        return 1000 / self.cpu_ms

    @property
    def most_threads(self) -> int | None:
        """Inference threads that the stream of one worker keeps busy, at most: all of its Python
        shares one lock, so that it has one core's time. None where it was not measured."""
        return None if self.stream_ms is None else math.floor(self.models_ms / self.stream_ms)


@dataclass(frozen=True)
class Needs:
    """Of one load. MB and GB are decimal; Kafka's disk holds all replicas."""

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
    faces_a_day_m: float


def needs(images_s: float, cost: EventCost) -> Needs:
    """For pictures in the event, one face each, and every answer read by the index and a client."""
    cores = math.ceil(round(images_s * cost.cpu_ms / 1000 / USED, 6))
    workers = math.ceil(cores / CORES_A_WORKER)
    written = images_s * (cost.picture_kb + cost.answer_kb) / 1000
    claims = images_s * (CLAIM_CHECK_KB + cost.answer_kb) / 1000
    return Needs(
        images_s=images_s,
        cores=cores,
        workers=workers,
        partitions=PARTITIONS_A_WORKER * workers,
        in_mb_s=images_s * cost.picture_kb / 1000,
        out_mb_s=images_s * (cost.picture_kb + 2 * cost.answer_kb) / 1000,
        broker_write_mb_s=written * REPLICATION,
        brokers=max(REPLICATION, math.ceil(written * REPLICATION / BROKER_WRITES_MB_S)),
        disk_tb=written * REPLICATION * RETAINED_H * 3600 / 1e6,
        disk_claim_tb=claims * REPLICATION * RETAINED_H * 3600 / 1e6,
        faces_a_day_m=images_s * 86_400 / 1e6,
    )


def qdrant_gb(points: float, dimensions: int) -> float:
    """Memory for vectors held in RAM, payload aside."""
    return points * dimensions * FLOAT_BYTES * QDRANT_OVERHEAD / 1e9
