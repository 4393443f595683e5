"""The keys and the pages, computed from results with known figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.contenders import Run
from benchmarks.latency import LatencyRound
from benchmarks.ratios import percentile
from benchmarks.report import BEGIN, END, write_page
from benchmarks.results import Results, SetFacts, read_results, write_results
from benchmarks.targets import KEYS, figures, key_lines


def run(images_s: float, cpu_ms: float, rss_mb: float = 0.0) -> Run:
    """Create a run of 100 images."""
    return Run(100, 100 / images_s, cpu_ms / 10, 1.0, rss_mb, answer_bytes=3400)


@pytest.fixture
def results() -> Results:
    """Create results of two repeats, the second on a machine half as fast."""
    return Results(
        machine={"cores": "2"},
        repeats=2,
        events=100,
        sets={"vga": SetFacts("640×480", 64, 76.0, 1)},  # noqa: RUF001
        runs={
            "vga": {
                "bare": [run(100, 20), run(50, 20)],
                "facestream-json": [run(90, 22, 325), run(45, 22, 335)],
                "facestream-binary": [run(95, 21), run(47.5, 21)],
                "opencv-sequential": [run(40, 40), run(20, 40)],
                "opencv-threads": [run(45, 38), run(22.5, 38)],
            }
        },
        latency=[LatencyRound((20.0,) * 10, (26.0,) * 10, (40.0,) * 10, (22.0,) * 10, (33.0,) * 10)]
        * 2,
        scaling={"free": [(40.0, 76.0), (20.0, 38.0)]},
        growth={"backlog": [(1.0, 2.0)], "index": [(2.0, 2.0)]},
        start_ms=[1500.0, 2500.0],
        skipped={"deepface": "not requested"},
    )


def test_each_key_is_computed_and_judged(results: Results) -> None:
    """Ratios are taken within a repeat and against the faster peer."""
    found = {figure.key.name: figure for figure in figures(results)}
    medians = {name: round(figure.value.median, 3) for name, figure in found.items()}
    assert {
        "cpu_per_image_vs_bare_json": 1.1,
        "cpu_per_image_vs_bare_binary": 1.05,
        "throughput_vs_bare_json": 0.9,
        "throughput_vs_bare_binary": 0.95,
        "throughput_vs_opencv": 2.0,
        "p50_ms_alone": 6.0,
        "p99_ms_alone": 6.0,
        "p50_ms_alone_paced": 4.0,
        "p50_ms_load60": 20.0,
        "p99_ms_load60": 20.0,
        "p50_ms_load60_pool": 7.0,
        "scaling_2_workers": 1.9,
        "cost_growth_backlog": 1.048,
        "cost_growth_index": 1.0,
        "own_cost_growth_backlog": 2.0,
        "own_cost_growth_index": 1.0,
        "rss_mb": 330.0,
        "start_ms": 2000.0,
    } == medians
    missed = {name for name, figure in found.items() if figure.reached is False}
    assert {"cpu_per_image_vs_bare_json", "rss_mb"} == missed
    assert found["p99_ms_alone"].reached is None


def test_render_prints_the_tables_and_writes_both_pages(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It needs only the JSON of an earlier run."""
    kept, page, scaling = (tmp_path / name for name in ("r.json", "page.md", "scaling.md"))
    write_results(results, kept)
    assert results == read_results(kept)
    for one in (page, scaling):
        one.write_text(f"Before.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    options = ["--json", str(kept), "--page", str(page), "--scaling-page", str(scaling)]
    assert 0 == main(["--render", *options])
    printed = capsys.readouterr().out.splitlines()
    line = "cpu_per_image_vs_bare_json=1.100 low=1.100 high=1.100 target<=1.08 NOT-REACHED"
    assert line in printed
    assert printed[-1].startswith("start_ms=2000 ")
    assert line in page.read_text()
    assert "| bare | 75.0 (50.0 to 100.0) | 20.00 (20.00 to 20.00) |" in page.read_text()
    assert "deepface (not requested)" in page.read_text()
    assert (tmp_path / "images" / "benchmarks.png").read_bytes().startswith(b"\x89PNG")
    # 1,000 images/s of 21 CPU-ms at 70 % use: 30 cores.
    assert "| 1,000 | 30 | 15 | 30 | 76 | 83 | 238 | 3 |" in scaling.read_text()
    # Computed for two threads: 2,000 / 21 = 95 images/s. Measured: (95 + 47.5) / 2.
    assert "| one worker, 2 threads | 95 | 71.2 (47.5 to 95.0) | 75 % |" in scaling.read_text()
    # 20 CPU-ms of the models over 1 of the stream.
    assert "| inference threads per worker, at most | 20 |" in scaling.read_text()
    for one in (page, scaling):
        assert one.read_text().startswith("Before.")
        assert one.read_text().endswith("After.\n")
        assert "old" not in one.read_text()


@pytest.mark.parametrize(
    ("failed", "key"),
    [
        ("facestream-json on vga", "cpu_per_image_vs_bare_json"),
        ("facestream-json on vga", "rss_mb"),
        ("bare on vga", "throughput_vs_bare_binary"),
        ("opencv-threads on vga", "throughput_vs_opencv"),
        ("latency", "p50_ms_alone"),
        ("kafka", "p50_ms_alone_kafka"),
        ("scaling", "scaling_2_workers"),
        ("growth", "own_cost_growth_index"),
        ("bare on vga", "cost_growth_index"),
        ("start", "start_ms"),
    ],
)
def test_a_key_that_was_not_measured_has_its_reason(
    results: Results, failed: str, key: str
) -> None:
    """Each key has a line, so that a missing figure is not taken for a reached one."""
    results.failed = {
        failed: "nothing came",
        f"{failed.removesuffix(' on vga')} on 12mp": "not this",
    }
    nothing = replace(results, runs={"vga": {}}, latency=[], scaling={}, growth={}, start_ms=[])
    lines = key_lines(nothing)
    assert len(KEYS) == len(lines)
    assert f"{key}=not-measured reason='nothing came'" in lines


def test_a_skipped_contender_or_part_has_its_reason(results: Results) -> None:
    """It was not requested, or the machine lacks something."""
    results.skipped["kafka"] = "java is not installed"
    lines = key_lines(results)
    assert "throughput_vs_deepface=not-measured reason='not requested'" in lines
    assert "p50_ms_alone_kafka=not-measured reason='java is not installed'" in lines
    missing = "not all of facestream-json, two-services here"
    assert f"throughput_vs_two_services=not-measured reason={missing!r}" in lines


def test_a_failed_round_invalidates_the_figure(results: Results) -> None:
    """The remaining rounds may be the better ones."""
    results.latency[1] = replace(results.latency[1], loaded_ms=())
    results.failed["latency under load"] = "an answer did not come in time in 1 of 2 rounds"
    lines = key_lines(results)
    assert (
        "p50_ms_load60=not-measured reason='an answer did not come in time in 1 of 2 rounds'"
        in lines
    )
    assert any(line.startswith("p50_ms_alone=6.0 ") for line in lines)


def test_without_a_throughput_there_is_no_figure_under_load(results: Results) -> None:
    """``make bench ONLY=latency`` does not know the rate of the load."""
    results.runs, results.latency = {}, [LatencyRound((20.0,), (26.0,), ())]
    lines = key_lines(results)
    missing = "not all of latency, latency under load, facestream-binary here"
    assert f"p50_ms_load60=not-measured reason={missing!r}" in lines
    assert any(line.startswith("p50_ms_alone=6.0 ") for line in lines)


def test_without_the_worker_the_sizing_page_is_not_changed(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures of the other contenders are still shown."""
    del results.runs["vga"]["facestream-binary"]
    scaling = tmp_path / "scaling.md"
    scaling.write_text("unchanged")
    write_results(results, tmp_path / "r.json")
    options = ["--json", str(tmp_path / "r.json"), "--scaling-page", str(scaling)]
    assert 1 == main(["--render", *options])
    shown = capsys.readouterr()
    assert "cpu_per_image_vs_bare_json=1.100" in shown.out
    assert "was not changed: facestream-binary was not measured" in shown.err
    assert scaling.read_text() == "unchanged"


def test_a_run_without_load_has_no_row_for_it(results: Results, tmp_path: Path) -> None:
    """``make bench ONLY=latency`` does not measure under load."""
    results.latency = [LatencyRound((20.0,), (26.0,), ())]
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}{END}")
    write_page(results, page)
    assert "one event at a time" in page.read_text()
    assert "at 60 % load" not in page.read_text()


def test_a_failed_contender_is_reported_and_exits_with_1(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are still shown."""
    results.failed["opencv-threads on vga"] = "nothing came"
    write_results(results, tmp_path / "r.json")
    assert 1 == main(["--render", "--json", str(tmp_path / "r.json")])
    assert "FAILED: opencv-threads on vga: nothing came" in capsys.readouterr().out


def test_percentiles_use_the_nearest_rank() -> None:
    """A percentile is a value that was measured."""
    values = [float(number) for number in range(1, 101)]
    assert (50.0, 99.0, 1.0) == tuple(percentile(values, share) for share in (0.5, 0.99, 0.0))
