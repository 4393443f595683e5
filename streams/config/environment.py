"""The process environment and the file of ``ENV_FILE``; only this package reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource

from streams.config.section import Section


def env_file() -> str:
    """Return the path of the file that holds further settings; it need not exist."""
    return os.environ.get("ENV_FILE") or ".env"  # empty counts as unset, as for every setting


def names_env_file() -> bool:
    """Whether ``ENV_FILE`` is set, so that its file must exist."""
    return bool(os.environ.get("ENV_FILE"))


def environment_names() -> list[str]:
    """Return the names in the process environment, in upper case, without empty variables."""
    return [name.upper() for name, value in os.environ.items() if value]


def env_file_names() -> list[str]:
    """Return the names in the file, in upper case; a line without ``=`` has none."""
    file = env_file()
    if not Path(file).is_file():
        return []
    values = DotEnvSettingsSource(Section, env_file=file, env_ignore_empty=False).env_vars
    return [name.upper() for name, value in values.items() if value is not None]


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return a child process's environment: this process's own, overridden by ``settings``.

    A setting with an empty value is removed: Faust reads some variables itself and does not treat
    an empty one as unset.
    """
    environment = {**os.environ, **settings}
    return {name: value for name, value in environment.items() if value or name not in settings}
