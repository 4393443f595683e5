"""Names in the file of ``ENV_FILE`` that are not settings; most of them are misspelt.

They cause a warning and no error, because such a file is often shared with compose or another
service. The process environment is not checked: most of its names belong to other programs.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from streams.config.environment import env_file, env_file_names
from streams.config.removed_settings import REMOVED
from streams.config.settings import Settings

#: Other names that such a file may hold: its own, and those that compose reads.
FOREIGN = re.compile(r"ENV_FILE|FACESTREAM_(IMAGE|SECRETS|SECRETS_NAME)|(COMPOSE|DOCKER)_\w+")
#: Anything else is not printed: a line without a name may be a pasted secret.
PRINTABLE = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class UnknownSetting:
    """A name that has no effect."""

    file: str
    name: str
    nearest: str | None
    """The setting that was probably meant; None when no name is similar."""

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.file}: {self.name} is not a setting and has no effect{hint}"


def unknown_settings() -> list[UnknownSetting]:
    """Return the names in the file that are neither a setting nor a removed one."""
    settings = [name.upper() for name in Settings.model_fields]
    known = {*settings, *REMOVED}
    found = []
    for name in env_file_names():
        if name in known or FOREIGN.fullmatch(name) or not PRINTABLE.fullmatch(name):
            continue
        nearest = difflib.get_close_matches(name, settings, n=1)
        found.append(UnknownSetting(env_file(), name, nearest[0] if nearest else None))
    return found
