"""Scoring pipelines of the chaos workers: real models or random delays, both with faults.

A picture that ends in a command (``chaos:hang``) makes the pipeline fail in that way. Decoders
ignore bytes behind a JPEG's end, so the real models see a valid picture.
"""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import onnx.parser
from numpy.typing import NDArray

from models.detection.detector import FaceDetector
from models.embedding.embedder import FaceEmbedder
from models.errors import InferenceFailed, LowConfidence, NoFaceFound, UnreadableImage
from models.manifest import ModelDescription, describe
from models.pictures.decoding import DecodeLimits
from models.pipeline import Face, FacePipeline, ScoredImage
from models.quality.formulas import Measures
from models.session import Cancellation, OnnxSession
from models.simulated import simulate

MARK = b"chaos:"
MAX_COMMAND = 32


class Command(StrEnum):
    """The failures that a picture can ask for."""

    HANG = "hang"
    FAIL = "fail"
    BUG = "bug"
    NO_FACE = "no-face"
    LOW = "low"
    UNREADABLE = "unreadable"


def commanded(picture: bytes, command: Command) -> bytes:
    """Return the picture with a command at its end."""
    return picture + MARK + command.value.encode()


def command_of(picture: bytes) -> Command | None:
    """Return the command at a picture's end, if there is one."""
    _, mark, word = picture[-MAX_COMMAND:].rpartition(MARK)
    return Command(word.decode()) if mark else None


#: A loop of 2^62 additions: it runs until onnxruntime terminates it.
_ENDLESS_GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
endless (float[1] x) => (float[1] y)
<int64 steps = {4611686018427387904}, bool go = {1}, float[1] one = {1}>
{
  y = Loop <
    body = add (int64 step, bool go_in, float[1] sum_in) => (bool go_out, float[1] sum_out) {
      sum_out = Add (sum_in, one)
      go_out = Identity (go_in)
    }
  > (steps, go, x)
}
"""
_ENDLESS = OnnxSession("endless", onnx.parser.parse_model(_ENDLESS_GRAPH).SerializeToString())


def _obey(picture: bytes, cancellation: Cancellation) -> None:
    """Fail as the picture's command says; return when it has none."""
    match command_of(picture):
        case Command.HANG:
            _ENDLESS.run(np.zeros(1, np.float32), cancellation)
        case Command.FAIL:
            raise InferenceFailed("chaos", "commanded by the picture")
        case Command.BUG:
            raise RuntimeError("a bug commanded by the picture")
        case Command.NO_FACE:
            raise NoFaceFound(1, 1)
        case Command.LOW:
            raise LowConfidence(0.1, 0.7)
        case Command.UNREADABLE:
            raise UnreadableImage("commanded by the picture")


@dataclass(frozen=True)
class TroubledPipeline(FacePipeline):
    """The real models; only pictures with a command fail."""

    def score(
        self,
        image: bytes,
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation | None = None,
    ) -> ScoredImage:
        """Obey the picture's command, or score it."""
        cancellation = cancellation or Cancellation()
        _obey(image, cancellation)
        return super().score(
            image,
            min_confidence=min_confidence,
            max_faces=max_faces,
            cancellation=cancellation,
        )


def with_trouble(pipeline: FacePipeline) -> FacePipeline:
    """Return the pipeline, with failures on command."""
    return TroubledPipeline(pipeline.face_detector, pipeline.face_embedder, pipeline.limits)


@dataclass(frozen=True)
class _Described:
    """A detector or embedder of which only the description is used."""

    description: ModelDescription


@dataclass(frozen=True)
class RandomDelays(FacePipeline):
    """Scores derived from the picture's hash after a random delay: 95 % fast, 5 % slow."""

    fast_s: float = 0.02
    slow_s: float = 0.6

    def score(
        self,
        image: bytes,
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation | None = None,
    ) -> ScoredImage:
        """Return up to two faces, the same for the same picture."""
        cancellation = cancellation or Cancellation()
        _obey(image, cancellation)
        slow = random.random() < 0.05
        time.sleep(random.uniform(0, self.slow_s if slow else self.fast_s))
        cancellation.raise_if_cancelled()
        digest = hashlib.sha256(image).hexdigest()
        return ScoredImage(
            faces=tuple(_face(digest, index) for index in range(min(max_faces, 2))),
            width=100,
            height=100,
            image_sha256=digest,
            timings_ms={"decode": 0.0, "detect": 0.0, "align": 0.0, "embed": 0.0},
        )

    def warm_up(self) -> None:
        """Do nothing: there are no models."""


def random_delays(fast_s: float = 0.02, slow_s: float = 0.6) -> RandomDelays:
    """Return a pipeline with delays up to these, under the names of the default models."""
    detector: FaceDetector = _Described(describe("yunet"))  # type: ignore[assignment]
    embedder: FaceEmbedder = _Described(describe("sface"))  # type: ignore[assignment]
    return RandomDelays(detector, embedder, DecodeLimits(), fast_s=fast_s, slow_s=slow_s)


def embedding_for(digest: str, face_index: int) -> NDArray[np.float32]:
    """Return the embedding for a picture's digest: (128,) float32, L2-normalised."""
    seed = hashlib.sha256(f"{digest}:{face_index}".encode()).hexdigest()
    return np.asarray(simulate(seed, 128).embedding, dtype=np.float32)


def _face(digest: str, index: int) -> Face:
    scores = simulate(digest, 1)
    return Face(
        bounding_box=(10.0 + index, 10.0, 50.0, 50.0),
        landmarks=np.full((5, 2), 20.0 + index, dtype=np.float32),
        detection_confidence=0.9,
        embedding=embedding_for(digest, index),
        measures=Measures(
            quality=scores.quality,
            frontality=scores.frontality,
            symmetry=scores.symmetry,
            resolution=scores.resolution,
            confidence=scores.confidence,
            yaw=0.0,
            pitch=0.0,
            roll=0.0,
            interocular_px=20.0,
            sharpness=0.5,
            brightness=0.5,
            contrast=0.2,
            exposure=1.0,
            noise=1.0,
            embedding_norm=1.0,
            recognisability=0.8,
        ),
    )
