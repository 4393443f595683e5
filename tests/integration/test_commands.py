"""The commands, run as processes against a real broker and worker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image

from streams.kafka.topics import largest_message
from streams.local.embedded_broker import free_port
from streams.local.worker_process import WorkerProcess
from tests.integration.stack import Stack, wait_until
from tools.pictures import encoded, portrait_bytes

FACESTREAM = [sys.executable, "-m", "streams.cli"]


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for all tests of this module."""
    with stack.worker() as running:
        yield running


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder with both portraits."""
    folder = tmp_path_factory.mktemp("portraits")
    for name in ("grace-hopper", "eileen-collins"):
        (folder / f"{name}.jpg").write_bytes(portrait_bytes(name))
    return folder


def facestream(
    stack: Stack,
    worker: WorkerProcess,
    *arguments: str | Path,
    status: int = 0,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*FACESTREAM, *map(str, arguments)],
        env={
            **os.environ,
            **stack.environment,
            "PORT": str(worker.port),
            "COLUMNS": "160",
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("mode", [[], ["--binary"]], ids=["json", "binary"])
def test_submit_and_wait_prints_the_answers(
    stack: Stack, worker: WorkerProcess, portraits: Path, mode: list[str]
) -> None:
    """A submitted folder gives a table with a row for each face."""
    done = facestream(stack, worker, "submit", portraits, "--wait", *mode)
    for name in ("grace-hopper", "eileen-collins"):
        row = next(line for line in done.stdout.splitlines() if line.startswith(name))
        assert "real" in row


def test_require_real_fails_on_a_simulated_answer(
    stack: Stack, worker: WorkerProcess, tmp_path: Path
) -> None:
    """Without the option a simulated answer is a success."""
    (tmp_path / "blank.png").write_bytes(encoded(Image.new("RGB", (64, 64)), "PNG"))
    blank = ("submit", tmp_path / "blank.png", "--wait")
    assert "simulated: no_face" in facestream(stack, worker, *blank).stdout
    done = facestream(stack, worker, *blank, "--require-real", status=1)
    assert "simulated: no_face" in done.stdout
    assert "1 of 1 answers are simulated" in done.stderr


def test_the_help_lists_only_useful_commands(stack: Stack, worker: WorkerProcess) -> None:
    """Faust's commands for tables are hidden, because the app has no tables."""
    text = facestream(stack, worker, "--help").stdout
    listed = {line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line}
    ours = "demo index models redrive results rollout search submit topics up"
    assert {*ours.split(), "worker", "agents", "completion"} == listed


def test_submit_without_wait_prints_the_event_ids(
    stack: Stack, worker: WorkerProcess, portraits: Path
) -> None:
    """The ids match answers to events later."""
    picture = portraits / "grace-hopper.jpg"
    done = facestream(stack, worker, "submit", picture, "--user-id", "ada")
    event_id, user = done.stdout.split()
    assert user == "ada"
    assert len(event_id) == 36


def test_results_as_json_are_scored_face_events(
    stack: Stack, worker: WorkerProcess, portraits: Path
) -> None:
    """Each line is an event, from the beginning of the topic."""
    answer = facestream(stack, worker, "submit", portraits / "grace-hopper.jpg", "--wait", "--json")
    mine = json.loads(answer.stdout)
    lines = facestream(stack, worker, "results", "--json").stdout.splitlines()
    assert mine["face_id"] in [json.loads(line)["face_id"] for line in lines]


def test_search_finds_the_same_person(stack: Stack, worker: WorkerProcess, portraits: Path) -> None:
    """The command asks the worker, which alone can open the embedded index."""
    answer = facestream(stack, worker, "submit", portraits, "--wait", "--json")
    faces = [json.loads(line) for line in answer.stdout.splitlines()]
    wait_until(
        lambda: all(worker.get(f"/index/faces/{f['face_id']}")[0] == 200 for f in faces), "indexed"
    )
    done = facestream(stack, worker, "search", portraits / "eileen-collins.jpg", "--limit", "1")
    row = next(line for line in done.stdout.splitlines() if "1.000" in line)
    assert "eileen-collins" in row
    assert "yes" in row
    assert "sface: the threshold for 'same person' is 0.425" in done.stderr
    done = facestream(stack, worker, "search", portraits / "eileen-collins.jpg", "--json")
    nearest = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"similarity", "user_id", "face_id", "event_id"} == set(nearest[0])
    assert "eileen-collins" == nearest[0]["user_id"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit", "nowhere.jpg"], "nowhere.jpg: no such file"),
        (["search", "nowhere.jpg"], "nowhere.jpg: no such file"),
        (["models", "burn"], "expected one of list, fetch"),
    ],
)
def test_an_error_is_one_line_and_exit_status_1(
    stack: Stack, worker: WorkerProcess, arguments: list[str], message: str
) -> None:
    """The line names the wrong argument."""
    assert message in facestream(stack, worker, *arguments, status=1).stderr


def test_an_empty_file_is_not_submitted(
    stack: Stack, worker: WorkerProcess, tmp_path: Path
) -> None:
    """It could only become a dead letter."""
    (tmp_path / "empty.jpg").touch()
    done = facestream(stack, worker, "submit", tmp_path / "empty.jpg", status=1)
    assert "empty.jpg" in done.stderr


def test_submit_without_a_broker_names_the_setting(
    stack: Stack, worker: WorkerProcess, portraits: Path
) -> None:
    """The error is one line without a traceback."""
    unreachable = Stack(stack.folder, f"127.0.0.1:{free_port()}")
    done = facestream(unreachable, worker, "submit", portraits / "grace-hopper.jpg", status=1)
    assert "no broker at" in done.stderr
    assert "KAFKA_BOOTSTRAP_SERVERS" in done.stderr


def test_topics_are_listed(stack: Stack, worker: WorkerProcess) -> None:
    """Each has its partitions, replication and message size."""
    done = facestream(stack, worker, "topics")
    for topic in stack.topics.all():
        assert topic in done.stdout
    lines = facestream(stack, worker, "topics", "--json").stdout.splitlines()
    assert [
        {
            "name": name,
            "partitions": 4,
            "replication": 1,
            "max_message_bytes": largest_message(stack.settings, name),
        }
        for name in stack.topics.all()
    ] == [json.loads(line) for line in lines]


def test_redrive_sends_the_dead_letters_of_one_reason(
    stack: Stack, worker: WorkerProcess, tmp_path: Path
) -> None:
    """An unknown reason is refused."""
    (tmp_path / "blank.png").write_bytes(encoded(Image.new("RGB", (48, 48)), "PNG"))
    facestream(stack, worker, "submit", tmp_path / "blank.png", "--wait")
    redrive = ("redrive", "--reason", "no_face")

    def sent(*options: str) -> int:
        printed = facestream(stack, worker, *redrive, *options).stdout
        line = re.fullmatch(
            r"redrive: read=\d+ (?:would_send|sent)=(\d+) reason=no_face\n", printed
        )
        assert line, printed
        return int(line[1])

    wait_until(lambda: sent("--dry-run") > 0, "the dead letter is in the topic")
    assert sent() > 0
    assert "no_fac" in facestream(stack, worker, *redrive[:2], "no_fac", status=2).stderr


def test_models_are_listed_and_checked(stack: Stack, worker: WorkerProcess) -> None:
    """The check runs one real inference."""
    listed = facestream(stack, worker, "models").stdout
    assert "yunet" in listed
    assert "Apache-2.0" in listed
    assert "models: ok" in facestream(stack, worker, "models", "check").stdout


def test_the_demo_scores_every_picture_whatever_the_env_file_says(
    stack: Stack, worker: WorkerProcess, tmp_path: Path
) -> None:
    """Its last line has the counts, and its folder the annotated pictures.

    An environment file configures a service and must not change the demo.
    """
    service = tmp_path / "service.env"
    service.write_text(
        "API_TOKEN=a token of sixteen letters and more\nKAFKA_REPLICATION=3\n"
        "KAFKA_MIN_INSYNC_REPLICAS=2\nKAFKA_SECURITY_PROTOCOL=SASL_SSL\nKAFKA_SASL_USERNAME=u\n"
        "KAFKA_SASL_PASSWORD=p\nUSE_REAL_ML=false\nMAX_IMAGE_PIXELS=2000\n"
    )
    variables = {"ENV_FILE": str(service)}
    done = facestream(stack, worker, "demo", "--output", tmp_path / "drawn", environment=variables)
    assert done.stdout.splitlines()[-1] == "demo: submitted=8 scored=7 simulated=2 indexed=7"
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {
        "grace-hopper.jpg",
        "eileen-collins.jpg",
        "grace-mirrored.jpg",
        "eileen-mirrored.jpg",
        "both-people.jpg",
        "eileen-sideways.jpg",
    }
