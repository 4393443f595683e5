"""The base of all sections of the settings, and the types that several sections use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1024 * 1024


class Section(BaseSettings):
    """Settings that belong together. Frozen: they do not change after the start.

    Names are those of the environment, without a prefix. An empty variable counts as unset.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, validate_default=True
    )


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Port = Annotated[int, Field(ge=1, le=65535)]
#: A path that may start with ``~``.
HomePath = Annotated[Path, AfterValidator(Path.expanduser)]
#: Lists in one variable, separated by commas. ``NoDecode``: pydantic would expect JSON.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Ports = Annotated[tuple[Port, ...], NoDecode, BeforeValidator(_split)]
