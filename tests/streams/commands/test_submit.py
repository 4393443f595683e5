"""``submit``: the events it publishes, and the errors it reports before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.image_submitted import ImageSubmitted
from streams.commands import submit
from streams.commands.submit import Submit
from streams.config.settings import load_settings
from streams.errors import StreamsError


class FakeSubmitter:
    """Records the events; at the first one it changes every picture of the folder."""

    events: list[ImageSubmitted]
    folder: Path

    def __init__(self, settings: object) -> None:
        type(self).events = []

    async def __aenter__(self) -> FakeSubmitter:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def submit(self, event: ImageSubmitted, *, media_type: str | None = None) -> None:
        """Record the event."""
        if not self.events:
            for file in self.folder.glob("*.jpg"):
                file.write_bytes(b"changed")
        self.events.append(event)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures, and a submitter that publishes nothing."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jpg").write_bytes(b"as it was")
    monkeypatch.setattr(submit, "Submitter", FakeSubmitter)
    monkeypatch.setattr(FakeSubmitter, "folder", tmp_path, raising=False)
    return tmp_path


async def run(*pictures: object, **options: Any) -> int:
    command = Submit.__new__(Submit)
    command.app = SimpleNamespace(settings=load_settings())
    given: dict[str, Any] = {
        "user_id": None,
        "binary": True,
        "max_faces": 1,
        "min_confidence": None,
        "wait": False,
        "timeout": 1,
        "as_json": False,
        "require_real": False,
    }
    return await command.main(pictures=[str(one) for one in pictures], **{**given, **options})


async def test_a_picture_is_read_just_before_it_is_published(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So a folder may be larger than the memory."""
    assert 0 == await run(folder)
    events = FakeSubmitter.events
    assert ["a", "b", "c"] == [event.user_id for event in events]
    assert [b"as it was", b"changed", b"changed"] == [event.image for event in events]
    assert [str(event.event_id) for event in events] == capsys.readouterr().out.split()[::2]


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("nowhere.jpg", {}, "no such file"),
        ("empty.jpg", {}, "empty.jpg: the file is empty"),
        ("c.jpg", {"max_faces": 0}, "max_faces: expected"),
        ("c.jpg", {"min_confidence": 7}, "min_confidence: expected"),
        ("c.jpg", {"user_id": "two\nlines"}, "user_id: expected"),
        ("c.jpg", {"require_real": True}, "needs --wait"),
    ],
)
async def test_errors_are_reported_before_anything_is_published(
    folder: Path, name: str, options: dict[str, Any], problem: str
) -> None:
    """Even an error in the last argument."""
    (folder / "empty.jpg").touch()
    FakeSubmitter.events = []
    with pytest.raises(StreamsError, match=problem):
        await run(folder / "a.jpg", folder / name, **options)
    assert [] == FakeSubmitter.events


async def test_a_file_deleted_meanwhile_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line; the events before it are published."""
    publish = FakeSubmitter.submit

    async def and_remove(self: FakeSubmitter, event: ImageSubmitted, **options: Any) -> None:
        await publish(self, event, **options)
        (folder / "b.jpg").unlink(missing_ok=True)

    monkeypatch.setattr(FakeSubmitter, "submit", and_remove)
    with pytest.raises(StreamsError, match=r"b\.jpg: No such file"):
        await run(folder)
    assert ["a"] == [event.user_id for event in FakeSubmitter.events]
