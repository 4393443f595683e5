"""``/api/health`` and ``/api/ml-status``: whether the models answer, and whether to use them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from streams.inference.circuit import MINIMUM
from streams.local.worker_process import WorkerProcess
from tests.integration.http_client import (
    DETECT,
    EXTRACT,
    PORTRAIT,
    assert_matches,
    assert_refused,
    call,
)
from tests.integration.stack import Stack
from tests.metrics_page import metrics_of


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for the tests that need no settings of their own."""
    with stack.worker() as running:
        yield running


def test_health_runs_each_model(worker: WorkerProcess) -> None:
    """Both models answer a real inference."""
    answer = call(worker.url + "/api/health")
    assert (200, "healthy") == (answer.status, answer.body["status"])
    assert {"faceDetection": True, "faceEmbedding": True} == answer.body["details"]
    assert_matches(answer, "HealthAnswer")


def test_ml_status_has_the_older_shape(worker: WorkerProcess) -> None:
    """Older clients compare its fields."""
    answer = call(worker.url + "/api/ml-status")
    details = {"faceDetection": True, "faceEmbedding": True, "overall": True}
    assert answer.status == 200
    assert answer.body == {
        "success": True,
        "data": {
            "health": {"status": "healthy", "details": details},
            "recommendations": {"shouldUseRealML": True, "fallbackMode": False},
        },
    }
    assert_matches(answer, "MlStatusAnswer")


def test_with_real_ml_off_ml_status_does_not_recommend_it(stack: Stack) -> None:
    """The models are healthy, and still answer the older services' calls."""
    with stack.worker(USE_REAL_ML="false") as worker:
        status = call(worker.url + "/api/ml-status").body["data"]
        assert status["health"]["details"]["overall"] is True
        assert {"shouldUseRealML": False, "fallbackMode": True} == status["recommendations"]
        assert call(worker.url + DETECT, {"image": PORTRAIT}).status == 200


def test_failing_models_are_unhealthy(stack: Stack) -> None:
    """Both the health page and ml-status report them."""
    with stack.worker(app="tests.blind_app", ML_SERVICE_TIMEOUT="500") as worker:
        health = call(worker.url + "/api/health")
        assert (503, "unhealthy") == (health.status, health.body["status"])
        assert {"faceDetection": False, "faceEmbedding": False} == health.body["details"]
        assert "the detector does not find the face" in health.body["problem"]
        assert "the embedder did not answer in 500 ms" in health.body["problem"]
        assert_matches(health, "HealthAnswer")
        status = call(worker.url + "/api/ml-status")
        assert (200, True) == (status.status, status.body["success"])
        assert status.body["data"] == {
            "health": {
                "status": "unhealthy",
                "details": {"faceDetection": False, "faceEmbedding": False, "overall": False},
            },
            "recommendations": {"shouldUseRealML": False, "fallbackMode": True},
        }
        late = call(worker.url + EXTRACT, {"image": PORTRAIT, "aligned": True})
        assert_refused(late, 503, "no result in 2000 ms")
        assert int(late.headers["retry-after"]) >= 1


def test_calls_to_models_that_hang_open_the_circuit(stack: Stack) -> None:
    """Each counts as a timeout, although the caller's own deadline starts earlier."""
    calls: list[tuple[str, dict[str, Any]]] = [
        (DETECT, {}),
        (EXTRACT, {}),
        (EXTRACT, {"aligned": True}),
    ]
    with stack.worker(
        app="tests.hanging_app",
        ML_SERVICE_TIMEOUT="300",
    ) as worker:
        # With fewer than ``MINIMUM`` attempts the circuit stays closed.
        for page, fields in itertools.islice(itertools.cycle(calls), MINIMUM):
            late = call(worker.url + page, {"image": PORTRAIT, **fields})
            assert_refused(late, 503, "longer than 300 ms")
        shown = metrics_of(worker)
        assert MINIMUM == shown["facestream_timeouts_total", "real_ml"]
        assert 1 == shown["facestream_circuit_changes_total", "open"]
