"""The documents name only tests, files, settings and commands that exist."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from faust.cli.faust import cli

import streams.commands
from streams.config.settings import Settings
from tests.deploy.files import ROOT
from tools.chaos.faults import Kind

DOCUMENTS = (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
PLAN = (ROOT / "docs/from-the-older-plan.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PLAN.splitlines() if line.startswith("| ")][1:]
#: Names in the documents that look like settings but are not.
NOT_SETTINGS = {
    "FACE_DETECTION_SERVICE",  # of the older clients
    "FACE_EMBEDDING_SERVICE",
    "FACESTREAM_IMAGE",  # of docker-compose.prod.yml
    "ENV_FILE",  # the path of the environment file
    *("BENCH_DATA", "KAFKA_SEEDS"),  # of the Makefile
    "TEST_BROKER",  # of the tests
    "FORMULA_VERSION",  # a constant of models/quality/formulas.py
    *("SASL_PLAINTEXT", "SASL_SSL"),  # values of KAFKA_SECURITY_PROTOCOL
}
#: The faults of the chaos run, which docs/reliability.md names.
FAULTS = {kind.name for kind in Kind}
CODE = re.compile(r"^```[a-z]*\n(.*?)^```|`([^`\n]+)`", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_part_of_the_older_plan_names_its_evidence(row: list[str]) -> None:
    """The evidence is an existing test or file, or "not yet"."""
    assert len(row) == 3
    if row[2] == "not yet":
        return
    shown = re.findall(r"`([^`]+)`", row[2])
    assert shown
    for name in shown:
        file, _, test = name.partition("::")
        assert (ROOT / file).is_file(), name
        assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), name


def _commands() -> set[str]:
    """Return the names that click knows once the commands are imported."""
    for module in pkgutil.iter_modules(streams.commands.__path__):
        importlib.import_module(f"streams.commands.{module.name}")
    return set(cli.commands)


def _used_commands(code: str) -> set[str]:
    # This leaves out the namespace in ``kubectl -n facestream …`` and image names.
    return set(re.findall(r"(?<![\w/.-])(?<!-n )facestream (?!facestream)([a-z]+)\b", code))


def test_a_module_that_only_helps_commands_is_not_a_command() -> None:
    """``submissions.py`` is in the folder of the commands, but ``facestream submit`` uses it."""
    assert {"submissions"} == _used_commands("facestream submissions") - _commands()
    assert {"submit"} == _used_commands("facestream submit") & _commands()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_command_in_the_documents_exists(document: Path) -> None:
    """``facestream NAME`` is a command and ``make NAME`` a target."""
    text = document.read_text(encoding="utf-8")
    code = "\n".join(block or inline for block, inline in CODE.findall(text))
    assert set() == _used_commands(code) - _commands()
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in re.findall(r"\bmake ([a-z]+)\b", code):
        assert name in targets, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_setting_in_the_documents_exists(document: Path) -> None:
    """A renamed setting must be renamed in the documents too."""
    text = document.read_text(encoding="utf-8")
    used = set(re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b(?=`|=)", text))
    assert set() == used - {name.upper() for name in Settings.model_fields} - NOT_SETTINGS - FAULTS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_relative_link_in_the_documents_has_a_target(document: Path) -> None:
    """Its file exists, and so does its heading."""
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        file, _, heading = target.partition("#")
        path = document.parent / file if file else document
        assert path.exists(), target
        assert not heading or heading in _headings(path), target


def _headings(document: Path) -> set[str]:
    """Return the anchors that GitHub makes from a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_path_test_and_module_in_the_documents_exists(document: Path) -> None:
    """These are paths of this repository, tests in them, and modules run with ``python -m``."""
    text = document.read_text(encoding="utf-8")
    rooms = "agents|benchmarks|deploy|docs|locks|models|schemas|streams|tests|tools"
    for path, test in re.findall(rf"(?<![\w/.-])((?:{rooms})/[\w./*-]*\w)(?:::(\w+))?", text):
        assert any(ROOT.glob(path)), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test
    for module in re.findall(rf"python -m ((?:{rooms})[\w.]*)", text):
        file = ROOT / module.replace(".", "/")
        assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), module
