"""Plan a run: what is measured, with how many events, in which order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contenders import Contender, Load, bare, facestream
from benchmarks.peers import PeerWeights, deepface, deepface_missing, opencv, two_services
from benchmarks.picture_sets import SETS, PictureSet, from_folder

PARTS = ("latency", "kafka", "scaling", "growth", "start")

#: Share of the events; slower contenders get fewer, so that each takes about as long.
SLOWER = {
    "bare-1-thread": 0.5,
    "opencv-sequential": 0.5,
    "opencv-threads": 0.5,
    "opencv-sequential-320": 0.5,
    "opencv-threads-320": 0.5,
    "two-services": 0.3,
    "deepface": 0.3,
}
#: Share of the events on the other sets, and the contenders measured on them.
LARGER_PICTURES = 0.15
SLOW_ON_LARGER = {"opencv-threads": 0.05}
ON_LARGER = ("bare", "facestream-json", "facestream-binary", "opencv-threads")
IN_QUICK = ("bare", "facestream-json", "facestream-binary", "opencv-threads")


@dataclass(frozen=True)
class Plan:
    """The options of a run.

    ``only``: prefixes of contenders and parts; empty for all. ``again``: picture sets and parts to
    measure again into the results of an earlier run.
    """

    repeats: int = 5
    events: int = 600
    sets: tuple[str, ...] = ("vga", "1080p", "12mp")
    only: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    quick: bool = False
    peers: tuple[str, ...] = ()
    deepface_python: str = ""
    data: Path | None = None

    def wants(self, name: str) -> bool:
        """Return whether a contender or a part is to be measured."""
        if self.again and name in PARTS:
            return name in self.again
        if self.only:
            return name.startswith(self.only)
        return not self.quick or name in (*IN_QUICK, "latency", "start")


def quick(plan: Plan) -> Plan:
    """Shorten a plan to three minutes, for a rough figure."""
    return replace(plan, repeats=min(plan.repeats, 2), events=150, sets=plan.sets[:1], quick=True)


def picture_sets(plan: Plan) -> list[PictureSet]:
    """Return the picture sets, the main one first. Raises ``SystemExit`` for an unknown set."""
    if unknown := [name for name in plan.sets if name not in SETS]:
        raise SystemExit(
            f"unknown picture set: {', '.join(unknown)}; expected one of {', '.join(SETS)}"
        )
    if plan.data is not None:
        return [from_folder(plan.data)]
    return [SETS[name]() for name in plan.sets]


def sets_again(plan: Plan) -> list[PictureSet]:
    """Return the sets that ``again`` names. Raises ``SystemExit`` for an unknown name."""
    if unknown := [name for name in plan.again if name not in (*SETS, *PARTS)]:
        known = ", ".join((*SETS, *PARTS))
        raise SystemExit(f"unknown set or part: {', '.join(unknown)}; expected one of {known}")
    return [make() for name, make in SETS.items() if name in plan.again]


def contenders(plan: Plan, weights: PeerWeights) -> tuple[dict[str, Contender], dict[str, str]]:
    """Return the contenders that can be measured here, and the reasons of the others."""
    cores = usable_cores()
    every: dict[str, Contender] = {
        "bare": bare(cores),
        "bare-1-thread": bare(1),
        "facestream-json": facestream(binary=False),
        "facestream-binary": facestream(binary=True),
        "opencv-sequential": opencv(weights, threads=0, same_size=False),
        "opencv-threads": opencv(weights, threads=cores, same_size=False),
        "opencv-sequential-320": opencv(weights, threads=0, same_size=True),
        "opencv-threads-320": opencv(weights, threads=cores, same_size=True),
        "two-services": two_services(weights, threads=2 * cores),
    }
    skipped = {}
    if "deepface" not in plan.peers:
        skipped["deepface"] = "not requested: make bench PEERS=deepface"
    elif missing := deepface_missing(plan.deepface_python):
        skipped["deepface"] = missing
    else:
        every["deepface"] = deepface(weights, plan.deepface_python)
    return {name: one for name, one in every.items() if plan.wants(name)}, skipped


def usable_cores() -> int:
    """Return the number of cores this process may use, a worker's default of threads."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


def load_for(load: Load, name: str, *, main: bool) -> Load | None:
    """Return a contender's share of the events, or None if it is not measured on this set."""
    if not main and name not in ON_LARGER:
        return None
    share = SLOWER.get(name, 1.0) if main else SLOW_ON_LARGER.get(name, LARGER_PICTURES)
    return replace(load, events=max(3, round(load.events * share)))


def rotated(names: Sequence[str], repeat: int) -> list[str]:
    """Rotate the names, so that each repeat starts with another contender."""
    by = repeat % len(names) if names else 0
    return [*names[by:], *names[:by]]


def expected_minutes(plan: Plan, names: Mapping[str, Contender], sets: int) -> float:
    """Estimate the duration on two idle cores."""
    per_event, start_and_stop = 1 / 60, 7.0
    runs = len(names) * (1.3 * plan.events * per_event + start_and_stop)
    on_larger = len([name for name in names if name in ON_LARGER]) * 10.0
    parts = {"latency": 48.0, "kafka": 40.0, "scaling": 35.0, "growth": 30.0, "start": 2.0}
    others = sum(seconds for part, seconds in parts.items() if plan.wants(part))
    fixed = 60.0 if plan.wants("growth") else 0.0
    return (plan.repeats * (runs + (sets - 1) * on_larger + others) + fixed) / 60
