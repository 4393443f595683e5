"""Names without effect: unknown ones in the env file, and removed settings."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import streams.engine.worker_app
from streams.app import create_app
from streams.commands.base import FacestreamCommand
from streams.config.environment import child_environment
from streams.config.removed_settings import REMOVED, RemovedSetting, removed_settings
from streams.config.settings import Settings, load_settings, pinned_environment
from streams.config.unknown_settings import UnknownSetting, unknown_settings
from streams.errors import StartupError
from tests.fakes import FakeLog


@pytest.fixture(autouse=True)
def _no_settings(no_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REMOVED:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        ("USE_REAL_M=false", ("USE_REAL_M", "USE_REAL_ML")),
        ("export KAFKA_TOPIC_PREFX=", ("KAFKA_TOPIC_PREFX", "KAFKA_TOPIC_PREFIX")),
        ("use_real_m=false", ("USE_REAL_M", "USE_REAL_ML")),
        ("QQQQ=1", ("QQQQ", None)),
        ("use_real_ml=false", None),
        ("ENV_FILE=.env", None),
        ("COMPOSE_PROJECT_NAME=faces", None),
        ("# USE_REAL_M=false", None),
        ("INDEX_BATCH=10", None),
        ("hunter2-pasted-without-a-name", None),
        ("hunter2/+x=", None),
    ],
)
def test_an_unknown_name_is_reported_with_the_most_similar_setting(
    tmp_path: Path, line: str, reported: tuple[str, str | None] | None
) -> None:
    """Text that does not look like a name is not reported: it may be a secret."""
    (tmp_path / ".env").write_text(line + "\n")
    assert ([UnknownSetting(".env", *reported)] if reported else []) == unknown_settings()


def test_unknown_names_in_the_environment_are_not_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most names there belong to other programs."""
    monkeypatch.setenv("USE_REAL_M", "false")
    assert [] == unknown_settings()


def test_a_removed_setting_is_reported_with_its_source_and_replacement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment and the env file are searched; an empty variable counts as unset."""
    (tmp_path / ".env").write_text("index_batch=10\nPORT=7000\n")
    monkeypatch.setenv("STOP_TIMEOUT_S", "90")
    monkeypatch.setenv("MAX_IN_FLIGHT", "")
    found = removed_settings()
    assert [("environment", "STOP_TIMEOUT_S"), (".env", "INDEX_BATCH")] == [
        (one.source, one.name) for one in found
    ]
    assert "DRAIN_TIMEOUT_S plus 20 s" in found[0].instead
    assert str(RemovedSetting(".env", "INDEX_BATCH", "its value is always 64")) == (
        ".env: INDEX_BATCH was removed and has no effect; its value is always 64"
    )


def test_no_removed_setting_is_a_setting() -> None:
    """A name that comes back must leave the list."""
    assert set() == {name.lower() for name in REMOVED} & set(Settings.model_fields)


def test_a_pinned_environment_has_no_removed_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The demo's worker does not warn about the environment of a service."""
    monkeypatch.setenv("MAX_IN_FLIGHT", "8")
    assert "MAX_IN_FLIGHT" not in child_environment(pinned_environment(tmp_path / "empty.env"))


def test_a_child_inherits_the_environment_without_emptied_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faust does not treat an empty variable as unset."""
    monkeypatch.setenv("INHERITED", "")
    monkeypatch.setenv("PORT", "7000")
    monkeypatch.setenv("QDRANT_URL", "http://index.example")
    child = child_environment({"PORT": "7001", "QDRANT_URL": ""})
    assert ("", "7001") == (child["INHERITED"], child["PORT"])
    assert "QDRANT_URL" not in child


async def test_a_worker_warns_at_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It starts all the same."""
    (tmp_path / "our.env").write_text("USE_REAL_M=false\nPORT=7000\n")
    monkeypatch.setenv("ENV_FILE", "our.env")
    monkeypatch.setenv("CIRCUIT_WINDOW", "50")
    log = FakeLog()
    monkeypatch.setattr(streams.engine.worker_app, "log", log)

    class Enough(Exception):
        """The rest of the start needs a broker."""

    def refuse() -> None:
        raise StartupError("far enough")

    def die(error: Exception) -> None:
        raise Enough from error

    monkeypatch.setattr(streams.engine.worker_app, "require_compiled_streams", refuse)
    monkeypatch.setattr(streams.engine.worker_app, "die", die)
    with pytest.raises(Enough):
        await create_app(load_settings()).on_first_start()
    unknown, removed = log.lines
    assert ("warning", "our.env", "USE_REAL_M", "USE_REAL_ML") == (
        unknown["level"],
        unknown["file"],
        unknown["name"],
        unknown["nearest"],
    )
    assert ("warning", "environment", "CIRCUIT_WINDOW", "its value is always 100") == (
        removed["level"],
        removed["source"],
        removed["name"],
        removed["instead"],
    )


def test_a_command_warns_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs all the same."""
    (tmp_path / ".env").write_text("USE_REAL_M=false\nINDEX_BATCH=10\n")

    class Quiet(FacestreamCommand):
        """A command that does nothing."""

        abstract = True

        async def main(self, **_: Any) -> int:
            """Succeed."""
            return 0

    monkeypatch.setattr(signal, "signal", lambda *_: None)  # keep the handlers of the test run
    command = Quiet.__new__(Quiet)
    command.app, command.kwargs = SimpleNamespace(settings=load_settings()), {}
    with pytest.raises(SystemExit) as ended:
        command()
    assert 0 == ended.value.code
    printed = capsys.readouterr()
    assert "" == printed.out
    assert (
        ".env: USE_REAL_M is not a setting and has no effect; did you mean USE_REAL_ML?"
        in printed.err
    )
    assert ".env: INDEX_BATCH was removed and has no effect; its value is always 64" in printed.err
