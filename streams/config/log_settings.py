"""Settings of the log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from streams.config.section import Section


class LogSettings(Section):
    """Level and format of log lines."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Level of facestream's own log lines."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: console on a terminal, JSON elsewhere."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        if isinstance(value, str):
            value = value.lower()
            return {"warn": "warning", "crit": "error", "critical": "error"}.get(value, value)
        return value
