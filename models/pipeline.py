"""The stages joined: decode, detect, align, embed, measure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from models.alignment import align, canonical_crop, canonical_landmarks
from models.decoding import DecodeLimits, decode
from models.detection import Detection, FaceDetector, most_prominent
from models.embedding import AlignedCropEmbedder, FaceEmbedder
from models.errors import InferenceFailed
from models.preparation import prepared_graph
from models.quality import Measures, measure
from models.session import Cancellation, OnnxSession
from models.weights import ModelDescription, Task, describe, find_weights
from models.yunet import YuNetDetector

BUILT_IN_PICTURE = "data/portrait.jpg"
"""One face, 160 pixels high: Grace Hopper, U.S. Navy, public domain."""

MANY_FACES = 1000
"""Tells the detector to look for small faces too; it is no limit."""


@dataclass(frozen=True)
class Face:
    """One face of a picture; the first three fields as in `Detection`."""

    bounding_box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    detection_confidence: float
    embedding: NDArray[np.float32]
    measures: Measures


@dataclass(frozen=True)
class ScoredImage:
    """What one picture holds, the most prominent face first; sizes after EXIF orientation.

    timings_ms: milliseconds spent in "decode", "detect", "align" and "embed", over all faces.
    """

    faces: tuple[Face, ...]
    width: int
    height: int
    image_sha256: str
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class DetectedFaces:
    """Every face of one picture, the most prominent first; sizes after EXIF orientation."""

    faces: tuple[Detection, ...]
    width: int
    height: int


@dataclass(frozen=True)
class CropEmbedding:
    """The embedding of an aligned crop, (dimension,) float32 of length 1, and its scores in 0..1.

    Nobody detected this face: `confidence` is the embedder's alone.
    """

    embedding: NDArray[np.float32]
    quality: float
    confidence: float


@dataclass(frozen=True)
class FacePipeline:
    """Shared by all threads: it holds nothing about a single picture."""

    face_detector: FaceDetector
    face_embedder: FaceEmbedder
    limits: DecodeLimits

    @property
    def detector(self) -> ModelDescription:
        """Name, sha256 of the weights as published, licence."""
        return self.face_detector.description

    @property
    def embedder(self) -> ModelDescription:
        """Likewise, and the embedding's dimension."""
        return self.face_embedder.description

    def score(
        self,
        image: bytes,
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation | None = None,
    ) -> ScoredImage:
        """The `max_faces` most prominent faces at or above `min_confidence` (0..1).

        Raises UnreadableImage, ImageTooLarge, NoFaceFound, LowConfidence, InferenceFailed, or
        InferenceTerminated after `cancellation.cancel()` in another thread.
        """
        if max_faces < 1:
            raise ValueError(f"max_faces must be at least 1, not {max_faces}")
        clock = _StageClock(cancellation or Cancellation())
        with clock.stage("decode"):
            pixels = decode(image, self.limits)
        height, width = pixels.shape[:2]
        with clock.stage("detect"):
            candidates = self.face_detector.detect(
                pixels,
                min_confidence=min_confidence,
                max_faces=max_faces,
                cancellation=clock.cancellation,
            )
        chosen = most_prominent(
            candidates,
            min_confidence=min_confidence,
            max_faces=max_faces,
            width=width,
            height=height,
        )
        return ScoredImage(
            faces=tuple(self._face(pixels, detection, clock) for detection in chosen),
            width=width,
            height=height,
            image_sha256=hashlib.sha256(image).hexdigest(),
            timings_ms=clock.milliseconds,
        )

    def detect(
        self, image: bytes, *, min_confidence: float, cancellation: Cancellation | None = None
    ) -> DetectedFaces:
        """All faces at or above `min_confidence` (0..1); a picture without one has none.

        Raises UnreadableImage, ImageTooLarge, InferenceFailed, or InferenceTerminated after
        `cancellation.cancel()` in another thread.
        """
        cancellation = cancellation or Cancellation()
        cancellation.raise_if_cancelled()
        pixels = decode(image, self.limits)
        height, width = pixels.shape[:2]
        candidates = self.face_detector.detect(
            pixels,
            min_confidence=min_confidence,
            max_faces=MANY_FACES,
            cancellation=cancellation,
        )
        accepted = [face for face in candidates if face.detection_confidence >= min_confidence]
        faces = accepted and most_prominent(
            accepted,
            min_confidence=min_confidence,
            max_faces=len(accepted),
            width=width,
            height=height,
        )
        return DetectedFaces(tuple(faces), width, height)

    def embed_aligned(
        self, image: bytes, *, cancellation: Cancellation | None = None
    ) -> CropEmbedding:
        """The embedding of a picture that is an aligned crop already: nothing is detected in it.

        A picture that is not 112 x 112 pixels is resized to that; one that is not square loses
        its proportions. Raises as `detect` does.
        """
        cancellation = cancellation or Cancellation()
        cancellation.raise_if_cancelled()
        pixels = decode(image, self.limits)
        height, width = pixels.shape[:2]
        crop = canonical_crop(pixels)
        embedding = self.face_embedder.embed(crop, cancellation)
        # Where the face is and that it is one, the caller has vouched for.
        vouched = Detection((0.0, 0.0, width, height), canonical_landmarks(width, height), 1.0)
        measures = measure(vouched, crop, embedding.norm, self.embedder.norm_range)
        return CropEmbedding(embedding.vector, measures.quality, measures.confidence)

    def warm_up(self) -> None:
        """One real inference on a built-in picture: the first is slow, and this proves it works.

        Raises ModelsError when the models do not even find that face.
        """
        self.check()

    def check(self, cancellation: Cancellation | None = None) -> None:
        """Score the built-in picture. Raises what `score` raises."""
        self.score(built_in_picture(), min_confidence=0.5, max_faces=1, cancellation=cancellation)

    def _face(self, pixels: NDArray[np.uint8], found: Detection, clock: _StageClock) -> Face:
        with clock.stage("align"):
            try:
                crop = align(pixels, found.landmarks)
            except ValueError as error:
                raise InferenceFailed(self.detector.name, str(error)) from error
        with clock.stage("embed"):
            embedding = self.face_embedder.embed(crop, clock.cancellation)
        return Face(
            bounding_box=found.bounding_box,
            landmarks=found.landmarks,
            detection_confidence=found.detection_confidence,
            embedding=embedding.vector,
            measures=measure(found, crop, embedding.norm, self.embedder.norm_range),
        )


def load_pipeline(
    *,
    detector: str = "yunet",
    embedder: str = "sface",
    model_path: Path | None,
    cache_dir: Path,
    limits: DecodeLimits,
) -> FacePipeline:
    """The pipeline of two models from the manifest, its sessions loaded but not yet warm.

    `model_path`: a folder searched for weight files first. `cache_dir`: where prepared graphs are
    kept. Raises UnknownModel, MissingWeights, CorruptWeights or InferenceFailed.
    """
    return FacePipeline(
        face_detector=YuNetDetector(*_loaded(detector, "detect", model_path, cache_dir)),
        face_embedder=AlignedCropEmbedder(*_loaded(embedder, "embed", model_path, cache_dir)),
        limits=limits,
    )


def _loaded(
    name: str, task: Task, model_path: Path | None, cache_dir: Path
) -> tuple[OnnxSession, ModelDescription]:
    description = describe(name, task)
    weights = find_weights(name, model_path)
    graph = prepared_graph(description, weights, cache_dir)
    return OnnxSession(name, graph), description


def built_in_picture() -> bytes:
    """A picture file with one face, to prove by that the models work."""
    return resources.files("models").joinpath(BUILT_IN_PICTURE).read_bytes()


@dataclass
class _StageClock:
    """Adds up what each stage of one picture took; no stage begins once it is cancelled."""

    cancellation: Cancellation
    milliseconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.cancellation.raise_if_cancelled()
        started = perf_counter()
        yield
        spent = (perf_counter() - started) * 1000.0
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + spent
