"""The documents name tests, files, settings and commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.config.settings import Settings
from tests.deploy.files import ROOT
from tools.chaos.faults import Kind

DOCUMENTS = (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
PLAN = (ROOT / "docs/from-the-older-plan.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PLAN.splitlines() if line.startswith("| ")][1:]
#: Names in the documents that look like settings, and whose they are.
OF_OTHERS = {
    "FACE_DETECTION_SERVICE",  # the older clients'
    "FACE_EMBEDDING_SERVICE",
    "FACESTREAM_IMAGE",  # docker-compose.prod.yml's
    "ENV_FILE",  # where the settings come from
    *("BENCH_DATA", "KAFKA_SEEDS"),  # the Makefile's
    "TEST_BROKER",  # the tests'
    "FORMULA_VERSION",  # a constant of models/quality/formulas.py
    *("SASL_PLAINTEXT", "SASL_SSL"),  # values of KAFKA_SECURITY_PROTOCOL
}
#: The faults of the chaos run, which docs/reliability.md names.
FAULTS = {kind.name for kind in Kind}
CODE = re.compile(r"^```[a-z]*\n(.*?)^```|`([^`\n]+)`", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_part_of_the_plan_is_shown_by_something_that_there_is(row: list[str]) -> None:
    """A test by its name, a file, or an honest "not yet"."""
    assert len(row) == 3
    if row[2] == "not yet":
        return
    shown = re.findall(r"`([^`]+)`", row[2])
    assert shown
    for name in shown:
        file, _, test = name.partition("::")
        assert (ROOT / file).is_file(), name
        assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_documents_is_one_that_there_is(document: Path) -> None:
    """`facestream NAME` is a command, `make NAME` a target."""
    text = document.read_text(encoding="utf-8")
    commands = {path.stem for path in (ROOT / "streams/commands").glob("*.py")}
    code = "\n".join(block or inline for block, inline in CODE.findall(text))
    # Not the namespace in `kubectl -n facestream …`, nor the image before a command.
    used = re.findall(r"(?<![\w/.-])(?<!-n )facestream (?!facestream)([a-z]+)\b", code)
    assert set() == set(used) - commands
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in re.findall(r"\bmake ([a-z]+)\b", code):
        assert name in targets, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_in_the_documents_is_one_that_there_is(document: Path) -> None:
    """A renamed setting is renamed there too."""
    text = document.read_text(encoding="utf-8")
    used = set(re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b(?=`|=)", text))
    assert set() == used - {name.upper() for name in Settings.model_fields} - OF_OTHERS - FAULTS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_in_the_documents_lead_somewhere(document: Path) -> None:
    """Relative links, and their headings."""
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        file, _, heading = target.partition("#")
        path = document.parent / file if file else document
        assert path.exists(), target
        assert not heading or heading in _headings(path), target


def _headings(document: Path) -> set[str]:
    """As GitHub writes them in addresses."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_files_and_modules_in_the_documents_are_there(document: Path) -> None:
    """Whatever looks like a path of this repository, a test in it, or a module that is run."""
    text = document.read_text(encoding="utf-8")
    rooms = "agents|benchmarks|deploy|docs|locks|models|schemas|streams|tests|tools"
    for path, test in re.findall(rf"(?<![\w/.-])((?:{rooms})/[\w./*-]*\w)(?:::(\w+))?", text):
        assert any(ROOT.glob(path)), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test
    for module in re.findall(rf"python -m ((?:{rooms})[\w.]*)", text):
        file = ROOT / module.replace(".", "/")
        assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), module
