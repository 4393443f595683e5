"""Leaks in log lines are detected in every form, and tracebacks hold none."""

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
from tools.fuzz.leaks import captured_log, leaked_picture, leaked_secret
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
def test_bytes_of_a_picture_are_detected_in_any_notation(
    shown: Callable[[bytes], str],
) -> None:
    """Sixteen bytes from its middle are enough, anywhere in a line."""
    assert leaked_picture([f"event falls back detail={shown(PART)}"], PICTURE)
    assert not leaked_picture([f"event falls back detail={shown(b'sixteen others..')}"], PICTURE)


def test_base64_of_a_picture_is_detected() -> None:
    """JSON events carry pictures in base64."""
    text = base64.b64encode(PICTURE).decode()
    assert leaked_picture([f"found '{text[:40]}'"], PICTURE)
    assert not leaked_picture([f"found '{text[:20]}'"], PICTURE)


def test_a_secret_is_detected_plain_and_in_base64() -> None:
    """Clients send secrets in both forms."""
    assert leaked_secret(["a", "http://user:hunter2@host"], ["hunter2"])
    assert leaked_secret([base64.b64encode(b"hunter2").decode()], ["hunter2"])
    assert leaked_secret(["a", "http://***@host"], ["hunter2"]) is None


def test_log_lines_are_captured_in_both_formats() -> None:
    """JSON and the format for terminals, with tracebacks."""
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
    """A pool whose detector raises an error that is not the models' own."""

    class Detector:
        description = pipeline.detector
        sizes = (320,)

        def detect(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError

    pool = InferencePool(lambda: pipeline, threads=1, timeout_s=60.0)
    await pool.start()
    pool._pipeline = replace(pipeline, face_detector=Detector())
    yield pool
    await pool.stop()


async def test_the_traceback_of_a_bug_shows_no_picture(broken_pool: InferencePool) -> None:
    """The picture is a local variable of functions in the traceback."""
    with captured_log() as log, pytest.raises(InferenceFailed):
        await broken_pool.score(PICTURE, min_confidence=0.5, max_faces=1)
    assert "ZeroDivisionError" in log.lines[0]
    assert leaked_picture(log.lines, PICTURE) is None
