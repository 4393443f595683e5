"""The look-out for leaks sees them, in every form; and the log has none where errors are shown."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog

from models.errors import InferenceFailed
from models.pipeline import FacePipeline
from streams.inference.pool import InferencePool
from tools.fuzz.leaks import captured_log, tells_picture, tells_secret
from tools.pictures import portrait_bytes

PICTURE = portrait_bytes()
PART = PICTURE[2000:2016]


@pytest.mark.parametrize(
    "shown",
    [
        str,
        lambda part: json.dumps(str(part)),
        lambda part: part.hex(),
        lambda part: part.hex().upper(),
        lambda part: part.decode("latin-1"),
        lambda part: json.dumps(part.decode("latin-1")),
    ],
)
def test_bytes_of_a_picture_are_seen_however_they_are_written(
    shown: Callable[[bytes], str],
) -> None:
    """Sixteen of them, from the middle, anywhere in a line."""
    assert tells_picture([f"event falls back detail={shown(PART)}"], PICTURE)
    assert not tells_picture([f"event falls back detail={shown(b'sixteen others..')}"], PICTURE)


def test_base64_of_a_picture_is_seen() -> None:
    """As it stands in an event."""
    text = base64.b64encode(PICTURE).decode()
    assert tells_picture([f"found '{text[:40]}'"], PICTURE)
    assert not tells_picture([f"found '{text[:20]}'"], PICTURE)


def test_a_secret_is_seen_plain_and_in_base64() -> None:
    """The two ways in which clients send it."""
    assert tells_secret(["a", "http://user:hunter2@host"], ["hunter2"])
    assert tells_secret([base64.b64encode(b"hunter2").decode()], ["hunter2"])
    assert tells_secret(["a", "http://***@host"], ["hunter2"]) is None


def test_both_formats_are_looked_at() -> None:
    """JSON lines and the terminal's, with their tracebacks."""
    with captured_log() as log:
        try:
            raise ValueError("torn")
        except ValueError:
            structlog.get_logger("streams.test").exception("failed", user_id="user-1")
    as_json, console = log.lines
    assert json.loads(as_json)["user_id"] == "user-1"
    assert "user-1" in console
    assert all("ValueError: torn" in line for line in log.lines)


@pytest.fixture
async def broken_pool(pipeline: FacePipeline) -> AsyncIterator[InferencePool]:
    """Its detector raises what it should not."""

    class Detector:
        description = pipeline.detector
        sizes = (320,)

        def look(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError

    pool = InferencePool(lambda: pipeline, threads=1, timeout_s=60.0)
    await pool.start()
    pool._pipeline = replace(pipeline, face_detector=Detector())
    yield pool
    await pool.stop()


async def test_the_traceback_of_a_bug_shows_no_picture(broken_pool: InferencePool) -> None:
    """The picture is a local variable of the functions that it lists."""
    with captured_log() as log, pytest.raises(InferenceFailed):
        await broken_pool.score(PICTURE, min_confidence=0.5, max_faces=1)
    assert "ZeroDivisionError" in log.lines[0]
    assert tells_picture(log.lines, PICTURE) is None
