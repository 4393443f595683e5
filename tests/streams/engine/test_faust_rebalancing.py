"""Behaviour of Faust at a rebalance and a stop on which at-least-once delivery relies.

When a test fails after an upgrade, read the module named in its docstring before changing the test.
"""

from __future__ import annotations

import faust
import faust.streams
import pytest
from faust.transport.drivers.aiokafka import ConsumerRebalanceListener
from faust.types import TP

import streams.app
import streams.engine.committing
import streams.engine.worker_app
from streams.app import FacestreamApp, create_app
from streams.config.settings import load_settings

PARTITION = TP("image-submitted", 0)


class RecordingApp(FacestreamApp):
    """The app; records which of its overridden methods Faust calls."""

    calls: list[str]

    def on_rebalance_start(self) -> None:
        self.calls.append("rebalance starts")
        super().on_rebalance_start()

    def _on_rebalance_when_stopped(self) -> None:
        self.calls.append("rebalance when stopped")
        super()._on_rebalance_when_stopped()


@pytest.fixture
async def recording_app(monkeypatch: pytest.MonkeyPatch) -> RecordingApp:
    """A ``RecordingApp``, created as the worker creates its app."""
    monkeypatch.setattr(streams.app, "FacestreamApp", RecordingApp)
    created = create_app(load_settings())
    assert isinstance(created, RecordingApp)
    created.calls = []
    return created


async def test_the_app_learns_of_a_rebalance_before_faust_waits_for_acks(
    recording_app: RecordingApp,
) -> None:
    """worker_app.py: windows drop their events before ``wait_empty()``."""

    class Thread:
        app = recording_app

        async def on_partitions_revoked(self, revoked: set[TP]) -> None:
            recording_app.calls.append("partitions are revoked")

    await ConsumerRebalanceListener(Thread()).on_partitions_revoked({PARTITION})
    assert recording_app.calls == ["rebalance starts", "partitions are revoked"]
    assert recording_app.rebalancing


@pytest.mark.parametrize("handler", ["_on_partitions_revoked", "_on_partitions_assigned"])
async def test_a_rebalance_while_stopping_leaves_the_consumer_open(
    recording_app: RecordingApp, handler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """worker_app.py: Faust's method closes it, and the last commit never returns."""
    assert callable(faust.App._on_rebalance_when_stopped), "the overridden method exists"
    monkeypatch.setattr(
        recording_app.consumer, "close", lambda: recording_app.calls.append("closed")
    )
    recording_app._stopped.set()
    await getattr(recording_app, handler)({PARTITION})
    assert recording_app.calls == ["rebalance when stopped"]
    faust.App._on_rebalance_when_stopped(recording_app)
    assert recording_app.calls[-1] == "closed", "once this fails, the override can be removed"


async def test_a_rebalance_and_a_stop_wait_for_running_events() -> None:
    """worker_app.py: the app sets ``stream_wait_empty``, which is also Faust's default."""
    assert create_app(load_settings()).conf.stream_wait_empty is True
    assert faust.App("default").conf.stream_wait_empty is True


async def test_a_stop_drains_before_faust_stops(
    recording_app: RecordingApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """worker_app.py: windows drop their events, then services stop, then models and index close."""
    calls: list[str] = []

    class Parts:
        """Records the order of its calls."""

        class Assignment:
            """The windows."""

            def begin_drain(self) -> None:
                calls.append("drain")

        assignment = Assignment()

        async def begin_stop(self) -> None:
            calls.append("begin stop")

        async def close(self) -> None:
            calls.append("close")

    async def on_stop(_: faust.App) -> None:
        calls.append("faust stops")

    monkeypatch.setattr(recording_app, "parts", Parts())
    monkeypatch.setattr(faust.App, "on_stop", on_stop)
    monkeypatch.setattr(
        streams.engine.worker_app, "arm_hard_exit", lambda *_: calls.append("hard exit armed")
    )
    await recording_app.on_stop()
    assert calls == ["hard exit armed", "drain", "begin stop", "faust stops", "close"]
