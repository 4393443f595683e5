"""Run the whole benchmark: repeats in which contenders take turns, then the other parts."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import CalledProcessError

from rich.console import Console

from benchmarks.contenders import Contender, Load, Run
from benchmarks.cost_growth import GrowingIndexes, cpu_ms_behind
from benchmarks.latency import (
    LOADED_SHARE,
    LatencyPlan,
    LatencyRound,
    measure_latency,
    measure_on_kafka,
)
from benchmarks.peers import peer_weights
from benchmarks.picture_sets import PictureSet
from benchmarks.plan import (
    PARTS,
    Plan,
    contenders,
    expected_minutes,
    load_for,
    picture_sets,
    rotated,
    sets_again,
    usable_cores,
)
from benchmarks.results import Results, SetFacts, this_machine
from benchmarks.scaling import images_per_second
from benchmarks.start_up import start_ms
from benchmarks.topic_load import NoProgress
from streams.errors import StartupError
from tools.kafka.jars import NoKafkaHere

SMALL, LARGE = 1_000, 100_000
SCALING_EVENTS = 0.5
"""Share of the events."""

ALONE, LOADED = 100, 250
"""Events per latency round."""


def _reason(error: Exception) -> str:
    if isinstance(error, CalledProcessError):
        # The error's own text contains the whole command.
        return f"one of its processes ended with status {error.returncode}"
    return f"{type(error).__name__}: {error}"


class Bench:
    """The parts of a run; they share a folder and the console that shows progress."""

    def __init__(
        self, plan: Plan, folder: Path, notes: Console, earlier: Results | None = None
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._notes = notes
        self._folders = 0
        self._started = time.monotonic()
        self.results = earlier or Results(this_machine(), plan.repeats, plan.events)

    async def run(self) -> Results:
        """Measure everything; record a contender or part that fails, and continue."""
        plan, results = self._plan, self.results
        loads = [self._load(pictures) for pictures in picture_sets(plan)]
        found, skipped = contenders(plan, peer_weights(self._folder / "weights"))
        results.skipped |= skipped
        minutes = expected_minutes(plan, found, len(loads))
        self._report(f"about {max(1, round(minutes))} minutes on two quiet cores")
        for repeat in range(plan.repeats):
            for number, load in enumerate(loads):
                await self._repeat(repeat, load, found, main=number == 0)
        await self._parts(loads[0])
        results.minutes = (time.monotonic() - self._started) / 60
        return results

    async def run_again(self) -> Results:
        """Measure the plan's sets and parts again, replacing those of an earlier run."""
        plan, results = self._plan, self.results
        loads = [self._load(pictures) for pictures in sets_again(plan)]
        parts = [part for part in PARTS if plan.wants(part)]
        main = next(iter(results.runs), "")
        found, skipped = contenders(plan, peer_weights(self._folder / "weights"))
        if loads:
            results.skipped |= skipped
        for repeat in range(plan.repeats):
            for load in loads:
                await self._repeat(repeat, load, found, main=load.set.name == main)
        for part in parts:
            results.forget(part)
        results.again = sorted({*results.again, *parts, *(load.set.name for load in loads)})
        if parts:
            await self._parts(self._load(picture_sets(plan)[0]))
        return results

    async def _parts(self, main: Load) -> None:
        plan, results = self._plan, self.results
        parts: Mapping[str, Callable[[Load], Awaitable[None]]] = {
            "latency": self._latency,
            "kafka": self._kafka,
            "scaling": self._scaling,
            "growth": self._growth,
            "start": self._start,
        }
        for name, part in parts.items():
            if plan.wants(name):
                try:
                    await part(main)
                except (NoProgress, TimeoutError, StartupError, CalledProcessError) as error:
                    results.failed[name] = _reason(error)
                    self._report(f"{name} FAILED: {error}")

    def _load(self, pictures: PictureSet) -> Load:
        into = self._folder / f"pictures-{pictures.name}"
        into.mkdir(exist_ok=True)
        for index, picture in enumerate(pictures.pictures):
            (into / f"{index:04}.jpg").write_bytes(picture)
        self.results.sets[pictures.name] = SetFacts(
            pictures.what, len(pictures.pictures), pictures.mean_kb, pictures.max_faces
        )
        return Load(pictures, into, self._plan.events)

    async def _repeat(
        self, repeat: int, load: Load, found: Mapping[str, Contender], *, main: bool
    ) -> None:
        if not repeat:
            self.results.forget_set(load.set.name)
            self.results.runs[load.set.name] = _empty(load, found, main=main)
        runs = self.results.runs[load.set.name]
        for name in rotated(list(runs), repeat):
            try:
                run = await found[name](load_for(load, name, main=main) or load, self._new_folder())
            except (NoProgress, StartupError, CalledProcessError) as error:
                # A contender without a run in each repeat cannot be compared; the others continue.
                del runs[name]
                self.results.failed[f"{name} on {load.set.name}"] = _reason(error)
                self._report(f"{name} FAILED: {error}")
            else:
                runs[name].append(replace(run, latencies_ms=()))
                self._report_run(repeat, load, name, run)

    async def _latency(self, load: Load) -> None:
        plan = self._latency_plan()
        self.results.latency = await measure_latency(load, plan, self._new_folder(), self._report)
        self._record_failed_load("latency", plan)

    async def _kafka(self, load: Load) -> None:
        self.results.skipped.pop("kafka", None)
        plan = self._latency_plan()
        try:
            found = await measure_on_kafka(load, plan, self._new_folder(), self._report)
        except NoKafkaHere as reason:
            self.results.skipped["kafka"] = str(reason)
        else:
            self.results.kafka = found
            self._record_failed_load("kafka", plan)

    def _record_failed_load(self, part: str, plan: LatencyPlan) -> None:
        rounds: list[LatencyRound] = getattr(self.results, part)
        failed = sum(not one.loaded_ms for one in rounds) if plan.loaded else 0
        if failed:
            reason = f"an answer did not come in time in {failed} of {len(rounds)} rounds"
            self.results.failed[f"{part} under load"] = reason

    def _latency_plan(self) -> LatencyPlan:
        runs = self.results.main_runs.get("facestream-binary")
        # The load is a share of the measured throughput.
        full = statistics.median(run.images_s for run in runs) if runs else None
        loaded, rate = (LOADED, LOADED_SHARE * full) if full else (0, 0.0)
        return LatencyPlan(self._plan.repeats, ALONE, loaded, rate, usable_cores())

    async def _scaling(self, load: Load) -> None:
        own = replace(load, events=max(3, round(load.events * SCALING_EVENTS)))
        for repeat in range(self._plan.repeats):
            for where in rotated(["free", "own core"], repeat):
                tied = where == "own core"
                one, two = [
                    await images_per_second(own, workers, self._new_folder(), own_core=tied)
                    for workers in (1, 2)
                ]
                self.results.scaling.setdefault(where, []).append((one, two))
                self._report(f"scaling {repeat + 1}, {where}: {one:.1f} and {two:.1f} images/s")

    async def _growth(self, _: Load) -> None:
        growth = self.results.growth
        async with GrowingIndexes(self._new_folder(), (SMALL, LARGE)) as indexes:
            for repeat in range(self._plan.repeats):
                small = await cpu_ms_behind(SMALL, self._new_folder())
                large = await cpu_ms_behind(LARGE, self._new_folder())
                growth.setdefault("backlog", []).append((small, large))
                beside = [await indexes.cpu_ms(points) for points in (SMALL, LARGE)]
                growth.setdefault("index", []).append((beside[0], beside[1]))
                self._report(
                    f"growth {repeat + 1}: backlog {small:.2f} and {large:.2f}, "
                    f"index {beside[0]:.2f} and {beside[1]:.2f} CPU-ms"
                )

    async def _start(self, _: Load) -> None:
        self.results.start_ms = await start_ms(self._new_folder(), self._plan.repeats)

    def _new_folder(self) -> Path:
        """Create the folder of one contender, and delete the previous one with its index."""
        shutil.rmtree(self._folder / f"run-{self._folders - 1}", ignore_errors=True)
        self._folders += 1
        return self._folder / f"run-{self._folders}"

    def _report_run(self, repeat: int, load: Load, name: str, run: Run) -> None:
        self._report(
            f"{load.set.name} {repeat + 1}/{self._plan.repeats} {name}: {run.images_s:.1f} "
            f"images/s, {run.cpu_ms:.2f} CPU-ms per image"
        )

    def _report(self, text: str) -> None:
        spent = time.monotonic() - self._started
        clock = f"{spent // 60:02.0f}:{spent % 60:02.0f}"
        self._notes.print(f"{clock} {text}", style="dim", markup=False)


def _empty(load: Load, found: Mapping[str, Contender], *, main: bool) -> dict[str, list[Run]]:
    return {name: [] for name in found if load_for(load, name, main=main)}


async def measure(
    plan: Plan, folder: Path, notes: Console, earlier: Results | None = None
) -> Results:
    """Measure the plan, or its parts again. Raises ``SystemExit`` for missing pictures."""
    bench = Bench(plan, folder, notes, earlier)
    return await (bench.run() if earlier is None else bench.run_again())
