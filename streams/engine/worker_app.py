"""The Faust app of a worker: its start, its drain before a rebalance, and its stop.

The settings below differ from Faust's defaults where measurements showed a reason: the defaults for
acks, drain and flow control lose events in some orders of events (see ``in_flight.py``).
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import faust
import faust.streams
import structlog

from streams.config.ports import port_is_taken
from streams.config.removed_settings import removed_settings
from streams.config.settings import Settings
from streams.config.unknown_settings import unknown_settings
from streams.engine.assignment import Assignment
from streams.engine.committing import InOrderConsumer
from streams.engine.credentials import faust_broker_urls, faust_credentials
from streams.engine.interface import Partition
from streams.engine.web_ports import WebOnSeveralPorts
from streams.errors import StartupError
from streams.kafka.topic_creation import wait_for_topics
from streams.kafka.topics import HEADER_ROOM, largest_dead_letter
from streams.process.exits import arm_hard_exit, die

log = structlog.get_logger(__name__)

#: Longer than any outage: a worker that polls late because it is full must not leave its group.
NEVER_S = 7 * 24 * 3600

#: The longest time that the stop of a crashed worker may take.
AFTER_CRASH_S = 5.0


class Parts(Protocol):
    """The parts of a worker that start and stop with its app."""

    @property
    def assignment(self) -> Assignment:
        """The in-flight windows."""

    def announce(self) -> None:
        """Log the settings, and warn of those that are risky."""

    def prepare(self) -> None:
        """Start loading models and index."""

    async def begin_stop(self) -> None:
        """Answer those who wait; called before the app's services stop."""

    async def close(self) -> None:
        """Free models and index; called after the last ack."""


class WorkerApp(faust.App):  # type: ignore[misc]  # faust ships no usable hints
    """Faust's app with this worker's start, drain and stop."""

    settings: Settings
    parts: Parts
    _awaits_seek = False

    async def on_first_start(self) -> None:
        """Wait for the broker and create topics; models and index load meanwhile."""
        await super().on_first_start()
        warn_of_ignored_settings()
        try:
            require_compiled_streams()
            self.parts.announce()
            self._check_ports()
            self.parts.prepare()
            await wait_for_topics(self.settings, lambda: self.should_stop)
        except StartupError as error:
            die(error)

    def _check_ports(self) -> None:
        if not self.conf.web_enabled:
            return
        host = self.settings.web_host
        for port in (self.conf.web_port, *self.settings.legacy_ports):
            if port_is_taken(host, port):
                name = "LEGACY_PORTS" if port in self.settings.legacy_ports else "PORT"
                raise StartupError(
                    f"the web port {host}:{port} is taken: stop what listens there, or choose "
                    f"another by {name}" + (" (or --web-port)" if name == "PORT" else "")
                )

    def _new_web(self) -> WebOnSeveralPorts:
        """Make the web server, which may listen on several ports."""
        return WebOnSeveralPorts(self, self.settings.legacy_ports)

    def _create_directories(self) -> None:
        """Create no folders: there are no tables, and the root may be read-only."""

    def on_rebalance_start(self) -> None:
        """Drop events that have not started, before Faust waits for those that have.

        Faust calls this in the thread of its consumer. The windows belong to the event loop, which
        runs this callback before anything that the thread asks of it later.
        """
        super().on_rebalance_start()
        self.loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        self._awaits_seek = False
        self.parts.assignment.begin_drain()

    async def _on_partitions_assigned(
        self, assigned: set[Partition], generation_id: int = 0
    ) -> None:
        """Begin the new generation before Faust delivers its first events.

        Faust's signal ``on_partitions_assigned`` comes too late: the task that resumes the flow
        has been woken by then.
        """
        if not self.should_stop:
            self._awaits_seek = bool(assigned)
            self.parts.assignment.begin_generation(len(assigned))
            if not assigned:
                self.parts.assignment.admit()
        await super()._on_partitions_assigned(assigned, generation_id)

    def on_sought(self) -> None:
        """Admit events, now that reading starts at the committed offsets.

        Not earlier: the end of an earlier rebalance may come late and deliver events while this one
        is under way. Those are dropped; if events behind them were answered before the seek, a
        commit would step over the dropped ones.
        """
        if self._awaits_seek:
            self._awaits_seek = False
            self.parts.assignment.admit()

    def _on_rebalance_when_stopped(self) -> None:
        """Leave the consumer open while ``wait_empty`` still commits.

        Faust's own method closes it, and the commit then waits forever (tests/integration stops a
        worker during a rebalance).
        """

    async def on_stop(self) -> None:
        """Drain within the deadline; a stop that hangs ends the process."""
        # After a crash nothing more is acknowledged and Faust's stop often hangs (measured), while
        # the heartbeat keeps the partitions from other workers.
        if self.crashed:
            arm_hard_exit(AFTER_CRASH_S, "after a crash")
        else:
            arm_hard_exit(self.settings.stop_timeout_s)
        self.parts.assignment.begin_drain()
        await self.parts.begin_stop()
        await super().on_stop()
        await self.parts.close()


def warn_of_ignored_settings() -> None:
    """Log the names in the environment and in ``ENV_FILE`` that have no effect."""
    for unknown in unknown_settings():
        log.warning(
            "a name in ENV_FILE is not a setting and has no effect", **dataclasses.asdict(unknown)
        )
    for removed in removed_settings():
        log.warning("a setting was removed and has no effect", **dataclasses.asdict(removed))


def require_compiled_streams() -> None:
    """Raise ``StartupError`` when Faust runs without its compiled stream iterator.

    The iterator in Python acknowledges the events of an older assignment that it skips. Their
    offsets then count as done in the new assignment, and a commit steps over them.
    """
    if faust.streams._CStreamIterator is None:
        raise StartupError(
            "Faust runs without its compiled stream iterator, and would lose events when "
            "partitions move: unset NO_CYTHON, or install a wheel of faust-streaming that is "
            "built for this Python (pip install --force-reinstall --only-binary :all: "
            "faust-streaming)"
        )


def faust_options(settings: Settings) -> dict[str, object]:
    """Return the options of the Faust app: how it consumes, produces and serves its web port."""
    return {
        "broker": faust_broker_urls(settings),
        "broker_credentials": faust_credentials(settings),
        "store": "memory://",
        "key_serializer": "raw",
        "value_serializer": "raw",
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "table_standby_replicas": 0,
        "stream_wait_empty": True,
        "stream_buffer_maxsize": 512,
        "broker_max_poll_records": 64,
        "broker_max_poll_interval": NEVER_S,
        "broker_commit_interval": 1.0,
        "broker_session_timeout": settings.kafka_session_timeout_s,
        "broker_heartbeat_interval": settings.kafka_session_timeout_s / 10,
        "broker_rebalance_timeout": settings.rebalance_timeout_s,
        "broker_request_timeout": max(40.0, settings.kafka_session_timeout_s * 2),
        "consumer_auto_offset_reset": "earliest",
        # Bytes of one partition in a fetch. Records fetched ahead of the windows take memory, and
        # small fetches cost the broker more. A larger record is fetched alone.
        "consumer_max_fetch_size": 1024 * 1024,
        "producer_acks": -1,
        # Without a linger, messages are still batched under load, and a single one is sent at once.
        "producer_linger": 0.0,
        "producer_request_timeout": 10.0,
        "producer_max_request_size": largest_dead_letter(settings) + HEADER_ROOM,
        "web_enabled": True,
        "web_bind": settings.web_host,
        "web_host": settings.web_host,
        "web_port": settings.port,
        "web_router_enabled": False,
        "web_tables_enabled": False,
        "web_graph_enabled": False,
        "web_stats_enabled": False,
        "web_metrics_enabled": False,
        "worker_redirect_stdouts": False,
    }


def consume_in_order(app: WorkerApp) -> None:
    """Give the app the consumer that commits in offset order."""
    app.transport.Consumer = InOrderConsumer
