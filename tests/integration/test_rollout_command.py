"""``facestream rollout report`` on the topics of a real worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from streams.local.embedded_broker import free_port
from tests.integration.stack import Stack, answers_for, image_event, wait_until
from tests.metrics_page import metrics_of
from tools.pictures import portrait_bytes


def report(stack: Stack, *options: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "rollout", "report", *options],
        env={**os.environ, **stack.environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert status == done.returncode, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


async def test_the_report_counts_real_shadow_and_simulated_answers(
    stack: Stack, tmp_path: Path
) -> None:
    """It works on empty topics too, and draws the plot."""
    empty = json.loads(report(stack, "--json").stdout)
    assert (0, 0, 0) == (empty["real_faces"], empty["simulated_answers"], empty["shadows"])

    with stack.worker(REAL_ML_ROLLOUT_PERCENT="0", SHADOW_ML="true") as worker:
        events = [
            image_event("anna", portrait_bytes(), use_real_ml=True),
            image_event("ben", portrait_bytes("eileen-collins")),
            image_event("cleo", portrait_bytes()),
        ]
        async with stack.submitter() as submitter:
            for event in events:
                await submitter.submit(event)
        async with stack.reader(stack.topics.scored_face) as reader:
            await answers_for(reader, {event.event_id for event in events})
        wait_until(
            lambda: metrics_of(worker)["facestream_operations_total", "shadow", "success"] == 2,
            "both shadows are scored",
        )

    plot_file = tmp_path / "plot.png"
    found = json.loads(report(stack, "--json", "--plot", str(plot_file)).stdout)
    assert (1, 2, 2) == (found["real_faces"], found["simulated_answers"], found["shadows"])
    assert {"rolled_out_to_simulated": 2} == found["simulated_by_reason"]
    assert 2 == found["scores"]["quality"]["simulated_minus_shadow"]["pairs"]
    assert plot_file.read_bytes().startswith(b"\x89PNG")

    shown = report(stack).stdout
    assert "1 faces scored for real, 2 answers simulated (rolled_out_to_simulated 2)" in shown
    assert "simulated minus shadow" in shown


def test_the_report_without_a_broker_fails_in_one_line(tmp_path: Path) -> None:
    """The line names the address."""
    unreachable = Stack(tmp_path, f"127.0.0.1:{free_port()}")
    assert "no broker at" in report(unreachable, "--json", status=1).stderr
