"""All settings of a process, read from the environment and from the file of ``ENV_FILE``."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from streams.config.environment import env_file, names_env_file
from streams.config.flow_settings import FlowSettings
from streams.config.index_settings import IndexSettings
from streams.config.kafka_settings import KafkaSettings
from streams.config.log_settings import LogSettings
from streams.config.model_settings import ModelSettings
from streams.config.picture_settings import PictureSettings
from streams.config.removed_settings import REMOVED
from streams.config.scoring_settings import ScoringSettings
from streams.config.urls import without_credentials
from streams.config.web_settings import WebSettings
from streams.errors import ConfigurationError


class Settings(
    # Pydantic takes the fields of the last base first; this gives the order of the documentation.
    LogSettings,
    WebSettings,
    FlowSettings,
    ScoringSettings,
    IndexSettings,
    PictureSettings,
    ModelSettings,
    KafkaSettings,
):
    """Every setting. A function that needs one section only should ask for that section."""

    def masked(self) -> dict[str, str]:
        """Return every setting as a string by its environment name, secrets masked."""
        shown = {name.upper(): str(getattr(self, name)) for name in type(self).model_fields}
        if self.qdrant_url:
            shown["QDRANT_URL"] = without_credentials(self.qdrant_url)
        return shown


def load_settings(**overrides: object) -> Settings:
    """Read the settings of this process; ``overrides`` win.

    Raises ``ConfigurationError``, which names each wrong variable and the expected values.
    """
    file = env_file()
    _check_readable(file, must_exist=names_env_file())
    try:
        return Settings(_env_file=file, **overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigurationError(
            "these settings are wrong; correct them in the environment or in "
            f"{file}:\n" + "\n".join(_problems(error))
        ) from None


def _problems(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"]).upper() or "settings"
        shown = problem["loc"] and not _is_secret(str(problem["loc"][0]))
        found = f" (found {problem['input']!r})" if shown else ""
        lines.append(f"  {name}: {problem['msg']}{found}")
    return lines


def _check_readable(file: str, *, must_exist: bool) -> None:
    try:
        if Path(file).is_file():
            Path(file).read_text("utf-8")
        elif must_exist:
            raise ConfigurationError(f"ENV_FILE={file}: no such file")
    except OSError as error:
        raise ConfigurationError(
            f"ENV_FILE={file} cannot be read: {error.strerror}; can the user {os.getuid()}, who "
            "runs this process, read it?"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"ENV_FILE={file} is not text in UTF-8 (byte {error.start})"
        ) from None


def _is_secret(name: str) -> bool:
    field = Settings.model_fields.get(name)
    return field is not None and SecretStr in get_args(field.annotation)


class _PinnedSettings(Settings):
    """Settings that are read from neither the environment nor a file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def pinned_settings(**values: object) -> Settings:
    """Return settings that ignore the environment and its file: ``values``, else the defaults."""
    return _PinnedSettings(**values)  # type: ignore[arg-type]


def pinned_environment(empty_file: Path, **values: str) -> dict[str, str]:
    """Return an environment that gives a child process the same: other settings are unset.

    ``empty_file`` is read instead of ``.env``.
    """
    unset = dict.fromkeys((*(name.upper() for name in Settings.model_fields), *REMOVED), "")
    return {**unset, "ENV_FILE": str(empty_file), **values}


@cache
def current() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()
