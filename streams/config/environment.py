"""The process environment. Settings aside, nothing else reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping


def env_file() -> str:
    """The file that holds settings besides the environment; it need not exist."""
    return os.environ.get("ENV_FILE") or ".env"  # empty counts as unset, as everywhere


def names_env_file() -> bool:
    """Whether ``ENV_FILE`` is set, so that its file must exist."""
    return bool(os.environ.get("ENV_FILE"))


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process: this process's own, overridden by ``settings``.

    A setting with an empty value is removed: Faust reads variables of its own, and an empty one
    does not count as unset there.
    """
    environment = {**os.environ, **settings}
    return {name: value for name, value in environment.items() if value or name not in settings}
