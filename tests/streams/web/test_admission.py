"""Admission: caps on concurrent requests and on their bytes."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from aiohttp.test_utils import make_mocked_request

from streams.config.settings import load_settings
from streams.errors import Busy
from streams.web.admission import Admission, Intake


def test_requests_over_the_cap_are_refused_at_once() -> None:
    """A place is free again when a request ends."""
    admission = Admission(max_requests=2)
    with ExitStack() as inside:
        with admission.admit():
            inside.enter_context(admission.admit())
            with pytest.raises(Busy, match="2 requests"), admission.admit():
                pass
        inside.enter_context(admission.admit())
        assert 2 == admission._requests
    assert 0 == admission._requests


def test_bytes_over_the_cap_are_refused() -> None:
    """With any number of requests; a request without a size takes no bytes."""
    admission = Admission(max_requests=9, max_bytes=100)
    with admission.admit(60), admission.admit(), admission.admit(40):
        with pytest.raises(Busy), admission.admit(1):
            pass
        assert 3 == admission._requests
    with admission.admit(100):
        pass


def test_a_request_over_the_byte_cap_is_admitted_when_it_is_alone() -> None:
    """Otherwise it could never be admitted."""
    admission = Admission(max_requests=9, max_bytes=100)
    with admission.admit(500), pytest.raises(Busy), admission.admit(1):
        pass
    with admission.admit(1), pytest.raises(Busy), admission.admit(500):
        pass


def test_a_request_that_fails_frees_its_place() -> None:
    """And its bytes."""
    admission = Admission(max_requests=1, max_bytes=10)
    with pytest.raises(KeyError), admission.admit(10):
        raise KeyError
    with admission.admit(10):
        pass


@pytest.mark.parametrize(
    ("ready", "stopping", "problem"),
    [(False, False, "models are being loaded"), (True, True, "stopping")],
)
def test_a_worker_that_starts_or_stops_refuses_requests(
    ready: bool, stopping: bool, problem: str
) -> None:
    """The answer says why, and that a retry may succeed."""
    intake = Intake(load_settings(), is_ready=lambda: ready, is_stopping=lambda: stopping)
    request = make_mocked_request("POST", "/api/score", headers={"Content-Length": "10"})
    with pytest.raises(Busy, match=problem), intake.admit(request):
        pass
