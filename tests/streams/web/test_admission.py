"""Admission: so much at once, and a refusal beyond that."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from streams.errors import Busy
from streams.web.admission import Admission


def test_requests_beyond_the_most_are_refused_at_once() -> None:
    """And let in again when one has left."""
    admission = Admission(max_requests=2)
    with ExitStack() as inside:
        with admission.admit():
            inside.enter_context(admission.admit())
            with pytest.raises(Busy, match="2 requests"), admission.admit():
                pass
        inside.enter_context(admission.admit())
        assert 2 == admission.requests
    assert 0 == admission.requests


def test_bytes_beyond_the_most_are_refused() -> None:
    """Whatever the number of requests; those without a size do not count."""
    admission = Admission(max_requests=9, max_bytes=100)
    with admission.admit(60), admission.admit(), admission.admit(40):
        with pytest.raises(Busy), admission.admit(1):
            pass
        assert 3 == admission.requests
    with admission.admit(100):
        pass


def test_a_large_request_is_let_in_alone() -> None:
    """It would never be let in otherwise."""
    admission = Admission(max_requests=9, max_bytes=100)
    with admission.admit(500), pytest.raises(Busy), admission.admit(1):
        pass
    with admission.admit(1), pytest.raises(Busy), admission.admit(500):
        pass


def test_a_request_that_fails_leaves_too() -> None:
    """Its place is free again."""
    admission = Admission(max_requests=1, max_bytes=10)
    with pytest.raises(KeyError), admission.admit(10):
        raise KeyError
    with admission.admit(10):
        pass
