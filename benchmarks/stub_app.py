"""The worker with stubbed models, to measure the stream's own cost.

``faust -A benchmarks.stub_app worker`` runs the production app, agents and settings; only the
pipeline is replaced, before the agents are imported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from models.detection.detector import FaceDetector
from models.embedding.embedder import FaceEmbedder
from models.manifest import ModelDescription, describe
from models.pictures.decoding import DecodeLimits
from models.pipeline import Face, FacePipeline, ScoredImage
from models.quality.formulas import Measures
from models.session import Cancellation
from streams.app import app
from streams.inference.pool import InferencePool

__all__ = ["app"]

_MEASURES = Measures(
    quality=0.5,
    frontality=0.5,
    symmetry=0.5,
    resolution=0.5,
    confidence=0.5,
    yaw=0.0,
    pitch=0.0,
    roll=0.0,
    interocular_px=40.0,
    sharpness=0.5,
    brightness=0.5,
    contrast=0.2,
    exposure=1.0,
    noise=1.0,
    embedding_norm=1.0,
    recognisability=0.8,
)


@dataclass(frozen=True)
class _Described:
    """A detector or embedder that has only a description."""

    description: ModelDescription


class StubPipeline(FacePipeline):
    """A pipeline that computes one face from the picture's hash."""

    def score(
        self,
        image: bytes,
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation | None = None,
    ) -> ScoredImage:
        """Return the same face for the same bytes, which need not be a picture."""
        digest = hashlib.sha256(image)
        rng = np.random.default_rng(int.from_bytes(digest.digest()[:8], "big"))
        vector = rng.standard_normal(self.embedder.dimension).astype(np.float32)
        face = Face(
            bounding_box=(10.0, 10.0, 50.0, 50.0),
            landmarks=np.full((5, 2), 20.0, dtype=np.float32),
            detection_confidence=0.9,
            embedding=vector / np.linalg.norm(vector),
            measures=_MEASURES,
        )
        return ScoredImage(
            faces=(face,),
            width=100,
            height=100,
            image_sha256=digest.hexdigest(),
            timings_ms={"decode": 0.0, "detect": 0.0, "align": 0.0, "embed": 0.0},
        )

    def warm_up(self) -> None:
        """Do nothing."""


def stub_pipeline() -> StubPipeline:
    """Create a stub with the names of the default models."""
    detector: FaceDetector = _Described(describe("yunet"))  # type: ignore[assignment]
    embedder: FaceEmbedder = _Described(describe("sface"))  # type: ignore[assignment]
    return StubPipeline(detector, embedder, DecodeLimits())


app.runtime.pool = InferencePool(
    stub_pipeline,
    threads=app.settings.threads,
    timeout_s=app.settings.ml_service_timeout / 1000,
)
