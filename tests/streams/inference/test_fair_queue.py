"""The fair queue: which lane is served next."""

from __future__ import annotations

import pytest

from streams.inference.fair_queue import FairQueue


def taken(queue: FairQueue[str]) -> list[str]:
    """Empty the queue."""
    return [queue.take() for _ in range(len(queue))]


def test_interactive_work_alternates_with_the_backlog() -> None:
    """Neither lane starves the other, and both keep their order."""
    queue: FairQueue[str] = FairQueue()
    for item in ("b1", "b2", "b3"):
        queue.put(item, interactive=False)
    for item in ("i1", "i2", "i3", "i4", "i5"):
        queue.put(item, interactive=True)
    assert taken(queue) == ["i1", "b1", "i2", "b2", "i3", "b3", "i4", "i5"]


def test_interactive_work_that_arrives_late_is_next() -> None:
    """It does not wait behind the backlog."""
    queue: FairQueue[str] = FairQueue()
    for item in ("b1", "b2", "b3"):
        queue.put(item, interactive=False)
    assert queue.take() == "b1"
    queue.put("i1", interactive=True)
    assert taken(queue) == ["i1", "b2", "b3"]


def test_taking_from_an_empty_queue_is_an_error() -> None:
    """A thread takes an item only after one was put."""
    with pytest.raises(IndexError):
        FairQueue[str]().take()
