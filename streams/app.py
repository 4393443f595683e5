"""The Faust app: ``faust -A streams.app worker`` is the service.

What is set here that Faust would do otherwise, and why, is measured: Faust's defaults for acks,
drain and flow lose events in some orders of events (see ``in_flight.py``).
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import faust
import faust.streams
import structlog

from streams.config.env_file import unknown_names
from streams.config.settings import Settings, current
from streams.engine.committing import InOrderConsumer
from streams.engine.credentials import faust_broker_urls, faust_credentials
from streams.engine.web_ports import WebOnSeveralPorts
from streams.errors import ConfigurationError, StartupError
from streams.kafka.topics import HEADER_ROOM, largest_letter, wait_for_topics
from streams.process.exits import EXIT_CANNOT_START, arm_hard_exit, die
from streams.runtime import Runtime
from streams.telemetry.logging import configure_logging
from streams.web.pages import add_pages, application_options

log = structlog.get_logger(__name__)

#: Longer than any outage: a worker that polls late because it is full must not leave its group.
NEVER_S = 7 * 24 * 3600

#: How long a worker that crashed may take to leave.
AFTER_CRASH_S = 5.0


class FacestreamApp(faust.App):  # type: ignore[misc]  # faust ships no usable hints
    """Faust's app with our start, our drain and our stop."""

    settings: Settings
    runtime: Runtime
    _awaits_seek = False

    async def on_first_start(self) -> None:
        """Wait for the broker, create topics, open the index; load the models meanwhile."""
        await super().on_first_start()
        for unknown in unknown_names():
            log.warning(
                "a name in ENV_FILE is no setting, and has no effect", **dataclasses.asdict(unknown)
            )
        try:
            require_compiled_streams()
            await self.runtime.prepare()
            await wait_for_topics(self.settings, lambda: self.should_stop)
        except StartupError as error:
            die(error)

    def _new_web(self) -> WebOnSeveralPorts:
        """The web server, which may have more ports than one."""
        return WebOnSeveralPorts(self, self.settings.legacy_ports)

    def _create_directories(self) -> None:
        """Make none: there are no tables, and the root may be read-only."""

    def on_rebalance_start(self) -> None:
        """Let go of what has not started, before Faust waits for what has.

        Faust calls this in the thread of its consumer. The windows belong to the event loop, which
        gets to this before anything that the thread asks of it later.
        """
        super().on_rebalance_start()
        self.loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        self._awaits_seek = False
        self.runtime.begin_drain()

    async def _on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Begin the new generation before Faust lets its first events in.

        Faust's signal ``on_partitions_assigned`` comes too late: the task that resumes the flow
        has been woken by then.
        """
        if not self.should_stop:
            self._awaits_seek = bool(assigned)
            self.runtime.begin_generation(len(assigned))
            if not assigned:
                self.runtime.take_in()
        await super()._on_partitions_assigned(assigned, generation_id)

    def on_sought(self) -> None:
        """Take events in, now that reading goes on from the committed offsets.

        Not before: the end of an earlier rebalance may come late and let events through while this
        one is under way. They are thrown away; were those behind them answered before the seek,
        they would be committed over what was thrown away.
        """
        if self._awaits_seek:
            self._awaits_seek = False
            self.runtime.take_in()

    def _on_rebalance_when_stopped(self) -> None:
        """Leave the consumer open while ``wait_empty`` still commits.

        The stock method closes it, and the commit then waits for ever (tests/integration holds a
        test of stopping during a rebalance).
        """

    async def on_stop(self) -> None:
        """Drain within the deadline; a stop that hangs all the same ends the process."""
        # After a crash nothing more is acknowledged, and Faust's stop often hangs (measured), while
        # the heartbeat keeps the partitions from a worker that could go on.
        if self.crashed:
            arm_hard_exit(AFTER_CRASH_S, "after a crash")
        else:
            arm_hard_exit(self.settings.stop_timeout_s)
        self.runtime.begin_drain()
        await self.runtime.answers.close()
        await super().on_stop()
        await self.runtime.close()


def require_compiled_streams() -> None:
    """Raise ``StartupError`` when Faust runs without its compiled stream iterator.

    The one in Python acknowledges the events of an older assignment that it skips; their offsets
    then count as done in the new one, and a commit steps over them.
    """
    if getattr(faust.streams, "_CStreamIterator", None) is None:
        raise StartupError(
            "Faust runs without its compiled stream iterator, and would lose events when "
            "partitions move: unset NO_CYTHON, or install a wheel of faust-streaming that is "
            "built for this Python (pip install --force-reinstall --only-binary :all: "
            "faust-streaming)"
        )


def create_app(settings: Settings) -> FacestreamApp:
    """The app for these settings. Agents and commands are discovered by name."""
    app = FacestreamApp(
        settings.kafka_group_id,
        broker=faust_broker_urls(settings),
        broker_credentials=faust_credentials(settings),
        autodiscover=["agents", "streams.commands"],
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        stream_wait_empty=True,
        stream_buffer_maxsize=512,
        broker_max_poll_records=64,
        broker_max_poll_interval=NEVER_S,
        broker_commit_interval=1.0,
        broker_session_timeout=settings.kafka_session_timeout_s,
        broker_heartbeat_interval=settings.kafka_session_timeout_s / 10,
        broker_rebalance_timeout=settings.kafka_rebalance_timeout_s,
        broker_request_timeout=max(40.0, settings.kafka_session_timeout_s * 2),
        consumer_auto_offset_reset="earliest",
        # Of a partition: what is fetched ahead of the windows is memory, and small fetches cost the
        # broker more. A larger record comes alone.
        consumer_max_fetch_size=1024 * 1024,
        producer_acks=-1,
        producer_linger=settings.kafka_linger_ms / 1000,
        producer_request_timeout=10.0,
        producer_max_request_size=largest_letter(settings) + HEADER_ROOM,
        web_enabled=True,
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=settings.port,
        web_router_enabled=False,
        web_tables_enabled=False,
        web_graph_enabled=False,
        web_stats_enabled=False,
        web_metrics_enabled=False,
        web_application_options=application_options(settings, lambda: app.runtime.http_metrics),
        worker_redirect_stdouts=False,
        logging_config=configure_logging(settings),
    )
    app.transport.Consumer = InOrderConsumer
    app.settings = settings
    app.runtime = Runtime(app, settings)
    add_pages(app.web.web_app.router, app.runtime, lambda: app.should_stop)
    return app


def _create_or_exit() -> FacestreamApp:
    try:
        return create_app(current())
    except ConfigurationError as error:
        print(f"facestream: {error}", file=sys.stderr)
        sys.exit(EXIT_CANNOT_START)


app = _create_or_exit()
