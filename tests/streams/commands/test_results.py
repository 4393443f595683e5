"""``results``: what it prints, and how much of a topic it holds in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from schemas.codec import decode_scored_face
from schemas.scored_face import ScoredFace
from streams.commands import results
from streams.commands.results import ROWS_AT_ONCE, Results
from streams.config.settings import load_settings

FACE = decode_scored_face(
    (Path(__file__).parents[3] / "schemas/examples/scored-face/v1/real.json").read_bytes()
)


class FakeReader:
    """A topic with ``faces`` faces; records the output before the topic's end."""

    faces = 0
    printed_before_the_end = ""
    capsys: pytest.CaptureFixture[str]

    def __init__(self, *_: object) -> None:
        pass

    async def __aenter__(self) -> FakeReader:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def scored_faces(self, *, follow: bool) -> AsyncIterator[ScoredFace]:
        """Yield the faces, with numbered users."""
        for number in range(self.faces):
            yield FACE.model_copy(update={"user_id": f"user-{number}"})
        type(self).printed_before_the_end = self.capsys.readouterr().out


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> type[FakeReader]:
    monkeypatch.setattr(results, "TopicReader", FakeReader)
    monkeypatch.setattr(FakeReader, "capsys", capsys, raising=False)
    monkeypatch.setattr(FakeReader, "faces", 0)
    return FakeReader


async def run(*, follow: bool = False, as_json: bool = False) -> None:
    command = Results.__new__(Results)
    command.app = SimpleNamespace(settings=load_settings())
    assert 0 == await command.main(follow=follow, as_json=as_json)


@pytest.mark.parametrize(
    ("follow", "faces", "printed"),
    [(False, ROWS_AT_ONCE + 1, ROWS_AT_ONCE), (True, 3, 3), (False, 3, 0)],
)
async def test_a_topic_is_printed_while_it_is_read(
    reader: type[FakeReader], follow: bool, faces: int, printed: int
) -> None:
    """In groups of rows, or row by row with ``--follow``. The header is printed once."""
    reader.faces = faces
    await run(follow=follow)
    first = reader.printed_before_the_end
    whole = first + reader.capsys.readouterr().out
    assert printed == first.count("user-")
    assert [f"user-{number}" for number in range(faces)] == [
        line.split()[0] for line in whole.splitlines()[1:]
    ]
    assert 1 == whole.count("provenance")


async def test_an_empty_topic_prints_a_header_and_a_count(
    reader: type[FakeReader], capsys: pytest.CaptureFixture[str]
) -> None:
    """The count goes to standard error."""
    await run()
    printed = capsys.readouterr()
    assert "provenance" in printed.out
    assert "0 events" in printed.err


async def test_events_are_printed_as_json_lines(
    reader: type[FakeReader], capsys: pytest.CaptureFixture[str]
) -> None:
    """One event per line, and nothing else."""
    reader.faces = 2
    await run(as_json=True)
    lines = reader.printed_before_the_end.splitlines()
    assert ["user-0", "user-1"] == [json.loads(line)["user_id"] for line in lines]
    assert "" == capsys.readouterr().out
