"""Errors shared by several packages of ``streams``."""

from __future__ import annotations


class StreamsError(Exception):
    """The root of all errors of ``streams``."""


class StartupError(StreamsError):
    """The worker cannot start; the message says what is wrong and what to do."""


class ConfigurationError(StartupError):
    """A setting is wrong."""


class Abandoned(StreamsError):
    """The worker is stopping or rebalancing; the event stays unacknowledged for its next owner."""


class Busy(StreamsError):
    """The worker is at its limit; the same request may succeed soon."""


class InferenceTimeout(StreamsError):
    """An attempt at scoring took longer than ``ML_SERVICE_TIMEOUT`` and was terminated."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"scoring took longer than {timeout_s * 1000:.0f} ms")
