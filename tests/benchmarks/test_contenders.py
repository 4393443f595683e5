"""The picture sets, and the contenders on a few events. Times are not checked."""

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
from benchmarks.contenders import Load, bare_run
from benchmarks.picture_sets import OWN, from_folder, full_hd, phone, vga
from benchmarks.topic_load import before_pause
from models.loading import load_pipeline
from models.pictures.decoding import DecodeLimits
from streams.config.settings import pinned_settings


def test_the_picture_sets_have_the_expected_sizes_and_faces() -> None:
    """Each picture can be scored, and a second call gives the same bytes."""
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


def test_a_folder_replaces_the_main_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JPEGs without a face are named and left out; a folder without any face is an error."""
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


@pytest.mark.timeout(400)  # seven contenders, each with a broker, on a busy machine
def test_the_contenders_do_the_whole_job(tmp_path: Path) -> None:
    """Each of them answers all events, and finds the face in each."""
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


def test_the_bare_models_run_with_pauses_and_under_load(tmp_path: Path) -> None:
    """Pauses do not count as latency; in a Poisson stream the wait for a thread does."""
    load = Load(vga(4), tmp_path, 12)
    for index, picture in enumerate(load.set.pictures):
        (tmp_path / f"{index}.jpg").write_bytes(picture)
    paused = bare_run(load, 1, 6, warm=2, how=("--pause-ms", "50"))
    assert 6 == len(paused.latencies_ms)
    assert paused.seconds > 6 * 0.05 + sum(paused.latencies_ms) / 1000
    flooded = bare_run(load, 2, 12, warm=2, how=("--rate", "100000", "--seed", "7"))
    assert 12 == flooded.faces_per_image * flooded.events
    # All pictures were due at once, so most of their latency is waiting.
    assert sum(flooded.latencies_ms) / 1000 > 2 * flooded.seconds


@pytest.mark.parametrize("phase", range(0, 16, 3))
@pytest.mark.parametrize("each_takes", [0.0101, 0.034])
def test_a_measured_span_begins_at_the_end_of_a_burst(phase: int, each_takes: float) -> None:
    """With answers in bursts of 16 the measured rate still equals the scoring rate."""
    moments = [
        each_takes * (16 * (number // 16 + 1)) + 0.001 * (number % 16) for number in range(600)
    ]
    first = before_pause(moments, 32 + phase)
    counted = len(moments) - len(moments) % 16 - 1
    rate = (counted - first) / (moments[counted] - moments[first])
    assert 1 / each_takes == pytest.approx(rate, rel=0.001)


@pytest.mark.parametrize("events", [30, 600])
def test_the_span_of_steady_answers_is_not_biased(events: int) -> None:
    """A plain consumer answers one by one, at varying intervals."""
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
    """The span may not begin at the last answers."""
    assert 6 <= before_pause([0.03 * number for number in range(12)], 6) <= 9
    assert 1 == before_pause([0.0, 0.03], 1)
