"""The picture sets, and the real contenders on a handful of events: counts, never times."""

from __future__ import annotations

import io
import itertools
import json
import random
import statistics
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.bare import poisson_gaps
from benchmarks.contenders import Load, bare_run
from benchmarks.picture_sets import OWN, from_folder, full_hd, phone, vga
from benchmarks.plan import Plan, load_for, rotated
from benchmarks.topic_load import before_pause
from models.loading import load_pipeline
from models.pictures.decoding import DecodeLimits
from streams.config.settings import pinned_settings


def test_the_sets_have_the_faces_that_they_promise() -> None:
    """Every picture is scored; sizes are as named; the next run has the same bytes."""
    pipeline = load_pipeline(
        model_path=None, cache_dir=pinned_settings().model_cache, limits=DecodeLimits()
    )
    sets = (vga(3), full_hd(2), phone(1))
    for pictures, size in zip(sets, ((640, 480), (1920, 1080), (4032, 3024)), strict=True):
        for picture in pictures.pictures:
            assert size == Image.open(io.BytesIO(picture)).size
            found = pipeline.score(picture, min_confidence=0.7, max_faces=pictures.max_faces)
            assert 1 <= len(found.faces) <= pictures.max_faces
    assert 3 <= sets[1].max_faces <= 5
    assert vga(3) == sets[0]
    assert len(set(sets[0].pictures)) == 3


def test_a_folder_takes_the_place_of_the_main_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its JPEGs with a face alone, the others named; none left is an error."""
    with pytest.raises(SystemExit, match="no .jpg"):
        from_folder(tmp_path)
    one, two = vga(2).pictures
    (tmp_path / "b.JPG").write_bytes(two)
    (tmp_path / "a.jpeg").write_bytes(one)
    (tmp_path / "cut.jpg").write_bytes(one[:1000])
    Image.new("RGB", (640, 480), "grey").save(tmp_path / "grey.jpg")
    (tmp_path / "notes.txt").write_bytes(b"no")
    found = from_folder(tmp_path)
    assert (OWN, (one, two), 1) == (found.name, found.pictures, found.max_faces)
    left_out = capsys.readouterr().err.splitlines()
    assert ["left out: cut.jpg", "left out: grey.jpg"] == [
        line.rpartition(".jpg")[0] + ".jpg" for line in left_out
    ]


def test_another_contender_begins_each_repeat() -> None:
    """So that none always has the machine as the last one left it."""
    assert [["a", "b"], ["b", "a"], ["a", "b"]] == [rotated(["a", "b"], n) for n in range(3)]


def test_the_slow_get_fewer_events_and_large_pictures_fewer_contenders(tmp_path: Path) -> None:
    """A run must end within half an hour."""
    load = Load(vga(1), tmp_path, 400)
    assert 400 == getattr(load_for(load, "bare", main=True), "events", None)
    assert 120 == getattr(load_for(load, "two-services", main=True), "events", None)
    assert 60 == getattr(load_for(load, "bare", main=False), "events", None)
    assert load_for(load, "two-services", main=False) is None
    assert Plan(only=("bare",)).wants("bare-1-thread")
    assert not Plan(only=("bare",)).wants("latency")


@pytest.mark.timeout(400)  # seven contenders, each with a broker, on a busy machine
def test_the_contenders_do_the_whole_job(tmp_path: Path) -> None:
    """Bare, both modes, OpenCV and the two services: every event answered, its face found."""
    kept = tmp_path / "results.json"
    only = "bare,facestream,opencv-sequential,two-services"
    options = ["--events", "12", "--repeats", "1", "--sets", "vga", "--only", only]
    assert 0 == main([*options, "--json", str(kept)])
    results = json.loads(kept.read_text())
    runs = results["runs"]["vga"]
    assert {
        *("bare", "bare-1-thread", "facestream-json", "facestream-binary"),
        *("opencv-sequential", "opencv-sequential-320", "two-services"),
    } == set(runs)
    for name, (run,) in runs.items():
        assert 1.0 == run["faces_per_image"], name
        assert run["cpu_s"] > 0, name
        assert 1 <= run["events"] <= 12, name
    assert {"deepface"} == set(results["skipped"])


def test_the_bare_models_wait_for_pictures_as_a_worker_does(tmp_path: Path) -> None:
    """With a pause before each picture, and for a stream of them, which may wait for a thread."""
    load = Load(vga(4), tmp_path, 12)
    for index, picture in enumerate(load.set.pictures):
        (tmp_path / f"{index}.jpg").write_bytes(picture)
    paused = bare_run(load, 1, 6, warm=2, how=("--pause-ms", "50"))
    assert 6 == len(paused.latencies_ms)
    assert paused.seconds > 6 * 0.05 + sum(paused.latencies_ms) / 1000
    flooded = bare_run(load, 2, 12, warm=2, how=("--rate", "100000", "--seed", "7"))
    assert 12 == flooded.faces_per_image * flooded.events
    # All were due at once: two threads alone cannot be at work for so long in so short a time.
    assert sum(flooded.latencies_ms) / 1000 > 2 * flooded.seconds


def test_a_poisson_stream_has_its_rate_and_repeats() -> None:
    """The worker and the pool beside it meet the same moments."""
    gaps = list(itertools.islice(poisson_gaps(50.0, 3), 5000))
    assert gaps == list(itertools.islice(poisson_gaps(50.0, 3), 5000))
    assert gaps != list(itertools.islice(poisson_gaps(50.0, 4), 5000))
    assert 0.02 == pytest.approx(sum(gaps) / len(gaps), rel=0.05)


@pytest.mark.parametrize("phase", range(0, 16, 3))
@pytest.mark.parametrize("each_takes", [0.0101, 0.034])
def test_a_span_that_is_measured_begins_at_the_end_of_a_burst(
    phase: int, each_takes: float
) -> None:
    """Answers in bursts of sixteen, a millisecond apart: their rate is that of the scoring."""
    moments = [
        each_takes * (16 * (number // 16 + 1)) + 0.001 * (number % 16) for number in range(600)
    ]
    first = before_pause(moments, 32 + phase)
    counted = len(moments) - len(moments) % 16 - 1
    rate = (counted - first) / (moments[counted] - moments[first])
    assert 1 / each_takes == pytest.approx(rate, rel=0.001)


@pytest.mark.parametrize("events", [30, 600])
def test_a_span_of_answers_one_by_one_counts_no_slow_one_for_all(events: int) -> None:
    """The answers of a plain consumer, of which none is like the other."""
    errors = []
    for seed in range(200):
        rng = random.Random(seed)
        moments = list(itertools.accumulate(rng.uniform(0.02, 0.04) for _ in range(events)))
        first = before_pause(moments, events // 4)
        assert events // 4 <= first < events // 4 + 9
        rate = (events - 1 - first) / (moments[-1] - moments[first])
        errors.append(rate * 0.03 - 1)
    assert abs(statistics.mean(errors)) < 0.005


def test_few_answers_leave_some_to_be_measured() -> None:
    assert 6 <= before_pause([0.03 * number for number in range(12)], 6) <= 9
    assert 1 == before_pause([0.0, 0.03], 1)
