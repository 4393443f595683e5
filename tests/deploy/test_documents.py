"""The documents name tests, files, settings and commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.deploy.files import ROOT

DOCUMENTS = tuple(
    ROOT / "docs" / name for name in ("deployment.md", "migration.md", "from-the-older-plan.md")
)
PLAN = (ROOT / "docs/from-the-older-plan.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PLAN.splitlines() if line.startswith("| ")][1:]
#: Names in the documents that look like settings, and whose they are.
OF_OTHERS = {
    "FACE_DETECTION_SERVICE",  # the older clients'
    "FACE_EMBEDDING_SERVICE",
    "FACESTREAM_IMAGE",  # docker-compose.prod.yml's
    "ENV_FILE",  # where the settings come from
}


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
    code = "\n".join(
        re.findall(r"```\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    )
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
    assert used
    assert set() == used - {name.upper() for name in Settings.model_fields} - OF_OTHERS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_in_the_documents_lead_somewhere(document: Path) -> None:
    """Relative links, and their headings."""
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, heading = target.partition("#")
        path = document.parent / file if file else document
        assert path.is_file(), target
        headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert not heading or heading in slugs, target
