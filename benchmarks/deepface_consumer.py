"""The plain consumer with ``DeepFace.represent`` (SFace, yunet), on the same weights.

Its interpreter needs deepface and not facestream. ``DEEPFACE_HOME`` names the folder whose
``.deepface/weights`` holds the weights; otherwise DeepFace downloads them.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from deepface import DeepFace

from benchmarks.plain_consumer import FoundFace, consume, consumer_arguments


def score(image: bytes, max_faces: int) -> list[FoundFace]:
    """Score with one call, as in DeepFace's documentation."""
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    found = DeepFace.represent(
        pixels, model_name="SFace", detector_backend="yunet", max_faces=max_faces
    )
    return [
        {
            "bounding_box": {name: face["facial_area"][name] for name in ("x", "y", "w", "h")},
            "embedding": [float(number) for number in face["embedding"]],
        }
        for face in found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    consume(consumer_arguments(parser).parse_args(), score)


if __name__ == "__main__":
    main()
