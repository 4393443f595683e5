"""Names in the file of ``ENV_FILE`` that are no setting: most of them are misspelt.

They are told, and refused by nobody, as such a file is often shared with compose or another
service. Of the process environment nothing can be told: most of its names are others'.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource

from streams.config.environment import env_file
from streams.config.settings import Settings

#: What else belongs into such a file: its own name, and what compose reads, itself and for ours.
OF_OTHERS = re.compile(r"ENV_FILE|FACESTREAM_(IMAGE|SECRETS|SECRETS_NAME)|(COMPOSE|DOCKER)_\w+")
#: What may be shown: a line without a name may be a pasted secret.
NAME = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class UnknownName:
    """A name that has no effect."""

    file: str
    name: str
    nearest: str | None
    """The setting that may be meant; None where no name is like it."""

    def __str__(self) -> str:
        meant = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.file}: {self.name} is no setting, and has no effect{meant}"


def unknown_names() -> list[UnknownName]:
    """The names in the file that the settings come from which are none of theirs."""
    file = env_file()
    if not Path(file).is_file():
        return []
    settings = [name.upper() for name in Settings.model_fields]
    values = DotEnvSettingsSource(Settings, env_file=file, env_ignore_empty=False).env_vars
    found = []
    for name in (name.upper() for name, value in values.items() if value is not None):
        if name in settings or OF_OTHERS.fullmatch(name) or not NAME.fullmatch(name):
            continue
        nearest = difflib.get_close_matches(name, settings, n=1)
        found.append(UnknownName(file, name, nearest[0] if nearest else None))
    return found
