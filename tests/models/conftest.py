"""Two real portraits, and the real models, prepared once per run."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from models.loading import load_pipeline
from models.pictures.decoding import DecodeLimits
from models.pipeline import FacePipeline

PICTURES = Path(__file__).parents[2] / "streams" / "commands" / "portraits"


@pytest.fixture(scope="session")
def hopper() -> bytes:
    """Grace Hopper, JPEG, 512 x 600."""
    return (PICTURES / "grace-hopper.jpg").read_bytes()


@pytest.fixture(scope="session")
def collins() -> bytes:
    """Eileen Collins, JPEG, 512 x 512."""
    return (PICTURES / "eileen-collins.jpg").read_bytes()


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run's prepared graphs."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="session")
def pipeline(cache_dir: Path) -> FacePipeline:
    return load_pipeline(model_path=None, cache_dir=cache_dir, limits=DecodeLimits())


Edit = Callable[[Image.Image], Image.Image]


def edited(picture: bytes, edit: Edit, quality: int = 95) -> bytes:
    """``picture`` after ``edit``, as a JPEG."""
    return encoded(edit(Image.open(BytesIO(picture))), "JPEG", quality=quality)


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()
