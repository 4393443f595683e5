"""Put into an image what a worker reads at start: ``bake_models.py WEIGHTS PREPARED``.

The models are those that the settings name. Their verified weight files go into the folder
WEIGHTS (later MODEL_PATH), the graphs prepared from them into PREPARED (later MODEL_CACHE), so
that a worker writes nothing and needs neither the package that carried the weights nor a second
of preparation. One real inference is done with the result.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from models.manifest import describe
from models.preparation import prepared_path
from models.weights import find_weights
from streams.inference import load_models
from streams.settings import Settings, load_settings


def bake(settings: Settings, weights: Path, prepared: Path) -> list[str]:
    """Fill the two folders, and return one line a model.

    Raises ``ModelsError`` when weights are missing, corrupt or do not work, and ``OSError`` when
    a folder cannot be written.
    """
    chosen = (settings.face_detector, settings.face_embedder, settings.face_quality)
    names = [name for name in chosen if name is not None]
    weights.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(
            find_weights(name, settings.model_path, settings.model_cache),
            weights / describe(name).file_name,
        )
    baked = settings.model_copy(update={"model_path": weights, "model_cache": prepared})
    load_models(baked).warm_up()
    for name in names:
        if not prepared_path(describe(name), prepared).is_file():
            raise FileNotFoundError(f"{name}: no prepared graph in {prepared}")
    return [
        f"{name}: {describe(name).file_name}, {describe(name).bytes / 1e6:.1f} MB, "
        f"licence {describe(name).licence}"
        for name in names
    ]


if __name__ == "__main__":
    for line in bake(load_settings(), Path(sys.argv[1]), Path(sys.argv[2])):
        print(line)
