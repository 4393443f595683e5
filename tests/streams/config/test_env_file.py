"""Names in the file of ENV_FILE that are no setting."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import streams.engine.worker_app
from streams.app import create_app
from streams.commands.base import FacestreamCommand
from streams.config.env_file import UnknownName, unknown_names
from streams.config.settings import load_settings
from streams.errors import StartupError
from tests.fakes import FakeLog

pytestmark = pytest.mark.usefixtures("no_environment")

MISSPELT = "USE_REAL_M=false\nPORT=7000\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("USE_REAL_M=false", ("USE_REAL_M", "USE_REAL_ML")),
        ("export KAFKA_TOPIC_PREFX=", ("KAFKA_TOPIC_PREFX", "KAFKA_TOPIC_PREFIX")),
        ("use_real_m=false", ("USE_REAL_M", "USE_REAL_ML")),
        ("QQQQ=1", ("QQQQ", None)),
        ("use_real_ml=false", None),
        ("ENV_FILE=.env", None),
        ("COMPOSE_PROJECT_NAME=faces", None),
        ("# USE_REAL_M=false", None),
        ("hunter2-pasted-without-a-name", None),
        ("hunter2/+x=", None),
    ],
)
def test_a_name_that_is_no_setting_is_told_with_the_nearest(
    tmp_path: Path, line: str, told: tuple[str, str | None] | None
) -> None:
    """What is no name is not shown: it may be a secret."""
    (tmp_path / ".env").write_text(line + "\n")
    assert ([UnknownName(".env", *told)] if told else []) == unknown_names()


def test_the_environment_and_a_missing_file_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most names of the environment are others'."""
    monkeypatch.setenv("USE_REAL_M", "false")
    assert [] == unknown_names()


async def test_a_worker_warns_of_them_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where its other warnings are; it starts all the same."""
    (tmp_path / "our.env").write_text(MISSPELT)
    monkeypatch.setenv("ENV_FILE", "our.env")
    log = FakeLog()
    monkeypatch.setattr(streams.engine.worker_app, "log", log)

    class Enough(Exception):
        """What follows needs a broker."""

    def refuse() -> None:
        raise StartupError("far enough")

    def die(error: Exception) -> None:
        raise Enough from error

    monkeypatch.setattr(streams.engine.worker_app, "require_compiled_streams", refuse)
    monkeypatch.setattr(streams.engine.worker_app, "die", die)
    with pytest.raises(Enough):
        await create_app(load_settings()).on_first_start()
    [line] = log.lines
    assert ("warning", "our.env", "USE_REAL_M", "USE_REAL_ML") == (
        line["level"],
        line["file"],
        line["name"],
        line["nearest"],
    )


def test_a_command_says_so_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And does its work."""
    (tmp_path / ".env").write_text(MISSPELT)

    class Quiet(FacestreamCommand):
        """Nothing to do."""

        abstract = True

        async def main(self, **_: Any) -> int:
            """Done."""
            return 0

    monkeypatch.setattr(signal, "signal", lambda *_: None)  # those of the tests stay
    command = Quiet.__new__(Quiet)
    command.app, command.kwargs = SimpleNamespace(settings=load_settings()), {}
    with pytest.raises(SystemExit) as ended:
        command()
    assert 0 == ended.value.code
    printed = capsys.readouterr()
    assert "" == printed.out
    assert ".env: USE_REAL_M is no setting, and has no effect; did you mean USE_REAL_ML?" in (
        printed.err
    )
