"""The Faust app: ``faust -A streams.app worker`` is the service."""

from __future__ import annotations

import sys

from streams.config.settings import Settings, current
from streams.engine.faust_engine import FaustEngine
from streams.engine.worker_app import WorkerApp, consume_in_order, faust_options
from streams.errors import ConfigurationError
from streams.process.exits import EXIT_CANNOT_START
from streams.runtime import Runtime
from streams.telemetry.logging import configure_logging
from streams.web.pages import add_pages, application_options


class FacestreamApp(WorkerApp):
    """The app of this service."""

    runtime: Runtime


def create_app(settings: Settings) -> FacestreamApp:
    """Make the app for these settings. Agents and commands are discovered by name."""
    app = FacestreamApp(
        settings.kafka_group_id,
        autodiscover=["agents", "streams.commands"],
        **faust_options(settings),
        web_application_options=application_options(settings, lambda: app.runtime.http_metrics),
        logging_config=configure_logging(settings),
    )
    consume_in_order(app)
    app.settings = settings
    app.runtime = app.parts = Runtime(FaustEngine(app), settings)
    add_pages(app.web.web_app.router, app.runtime, lambda: app.should_stop)
    return app


def _create_or_exit() -> FacestreamApp:
    try:
        return create_app(current())
    except ConfigurationError as error:
        print(f"facestream: {error}", file=sys.stderr)
        sys.exit(EXIT_CANNOT_START)


app = _create_or_exit()
