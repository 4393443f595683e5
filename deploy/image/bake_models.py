"""Write the models of an image: ``bake_models.py CACHE``.

Copies the verified weights of the models in the settings to the folder ``CACHE`` (later
``MODEL_CACHE``), prepares their graphs there and runs one inference. A worker of the image then
writes nothing, needs no package for weights and prepares nothing at start. ``MODEL_PATH`` stays
unset, for a user's own weights.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from models.errors import MissingWeights
from models.graphs.preparation import prepared_path
from models.manifest import describe
from models.weights import fetched_folder, find_weights
from streams.commands.weight_fetching import fetch
from streams.config.settings import Settings, load_settings
from streams.inference.model_loading import load_models


def bake(settings: Settings, cache: Path) -> list[str]:
    """Fill the folder, and return one line for each model.

    Weights that no package carries are fetched. Raises ``ModelsError`` or ``StreamsError`` when
    weights are missing, corrupt or unusable, and ``OSError`` when the folder cannot be written.
    """
    chosen = (settings.face_detector, settings.face_embedder, settings.face_quality)
    names = [name for name in chosen if name is not None]
    weights = fetched_folder(cache)
    weights.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(_weights(name, settings), weights / describe(name).file_name)
    baked = settings.model_copy(update={"model_path": None, "model_cache": cache})
    load_models(baked).warm_up()
    for name in names:
        if not prepared_path(describe(name), cache).is_file():
            raise FileNotFoundError(f"{name}: no prepared graph in {cache}")
    return [
        f"{name}: {describe(name).file_name}, {describe(name).bytes / 1e6:.1f} MB, "
        f"licence {describe(name).licence}"
        for name in names
    ]


def _weights(name: str, settings: Settings) -> Path:
    try:
        return find_weights(name, settings.model_path, settings.model_cache)
    except MissingWeights:
        accepted = settings.accept_model_licence
        return fetch(describe(name), settings.model_cache, accepted_licences=accepted)


if __name__ == "__main__":
    for line in bake(load_settings(), Path(sys.argv[1])):
        print(line)
