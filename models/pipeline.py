"""The stages joined: decode, detect, align, embed, measure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.built_in_picture import built_in_picture
from models.detection.detector import Detection, FaceDetector
from models.detection.face_search import FaceSearch
from models.embedding.alignment import align, canonical_crop, canonical_landmarks
from models.embedding.embedder import Embedding, FaceEmbedder
from models.errors import InferenceFailed
from models.manifest import ModelDescription
from models.picture_search import PictureSearch
from models.pictures.decoded_picture import DecodedPicture
from models.pictures.decoding import DecodeLimits, decode
from models.quality.formulas import Measures, measure, recognisability
from models.quality.learned_quality import QualityAssessor
from models.session import Cancellation
from models.stage_clock import StageClock

DOUBTFUL = 0.5
"""Recognisability below which a face is examined in all rotations although its detection score is
good. That is 1 face in 100 of LFW, and two in three of the faces tilted by 30 degrees whose
embedding is useless. It costs at most a second embedding."""

MANY_FACES = 1000
"""Asks for small faces too; it is not meant as a limit."""


@dataclass(frozen=True)
class Face:
    """One face of a picture; the first three fields as in ``Detection``."""

    bounding_box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    detection_confidence: float
    embedding: NDArray[np.float32]
    measures: Measures


@dataclass(frozen=True)
class ScoredImage:
    """The scored faces of one picture, the most prominent first; sizes after EXIF orientation.

    timings_ms: milliseconds spent in "decode", "detect", "align" and "embed", over all faces,
        and in "assess" when there is an assessor.
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
    """The embedding of an aligned crop, (dimension,) float32 of length 1, and scores in 0..1.

    No detector ran, so ``confidence`` depends on the embedder alone.
    """

    embedding: NDArray[np.float32]
    quality: float
    confidence: float


@dataclass(frozen=True)
class FacePipeline:
    """All threads share one pipeline: it holds no state of a single picture."""

    face_detector: FaceDetector
    face_embedder: FaceEmbedder
    limits: DecodeLimits
    quality_assessor: QualityAssessor | None = None

    @property
    def detector(self) -> ModelDescription:
        """The manifest entry of the detector: name, SHA-256 of the published weights, licence."""
        return self.face_detector.description

    @property
    def embedder(self) -> ModelDescription:
        """The manifest entry of the embedder, with the dimension of its embeddings."""
        return self.face_embedder.description

    @property
    def assessor(self) -> ModelDescription | None:
        """The manifest entry of the model behind ``learned_quality``, if one is configured."""
        return None if self.quality_assessor is None else self.quality_assessor.description

    def score(
        self,
        image: bytes,
        *,
        min_confidence: float,
        max_faces: int,
        cancellation: Cancellation | None = None,
    ) -> ScoredImage:
        """Score the ``max_faces`` most prominent faces at or above ``min_confidence`` (0..1).

        Raises ``UnreadableImage``, ``ImageTooLarge``, ``NoFaceFound``, ``LowConfidence``,
        ``InferenceFailed``, or ``InferenceTerminated`` after ``cancellation.cancel()`` in another
        thread.
        """
        if max_faces < 1:
            raise ValueError(f"max_faces must be at least 1, not {max_faces}")
        clock = StageClock(cancellation or Cancellation())
        found = self._search.find(
            image, min_confidence=min_confidence, max_faces=max_faces, clock=clock
        )
        if found.problem is not None:
            raise found.problem
        picture = found.picture
        return ScoredImage(
            faces=tuple(self._score_face(picture, f, min_confidence, clock) for f in found.faces),
            width=picture.width,
            height=picture.height,
            image_sha256=hashlib.sha256(image).hexdigest(),
            timings_ms=clock.milliseconds,
        )

    def detect(
        self, image: bytes, *, min_confidence: float, cancellation: Cancellation | None = None
    ) -> DetectedFaces:
        """Detect all faces at or above ``min_confidence`` (0..1); none is a valid result.

        Raises ``UnreadableImage``, ``ImageTooLarge``, ``InferenceFailed``, or
        ``InferenceTerminated`` after ``cancellation.cancel()`` in another thread.
        """
        clock = StageClock(cancellation or Cancellation())
        found = self._search.find(
            image, min_confidence=min_confidence, max_faces=MANY_FACES, clock=clock
        )
        picture = found.picture
        return DetectedFaces(
            tuple(face.in_source(picture) for face in found.faces), picture.width, picture.height
        )

    def embed_aligned(
        self, image: bytes, *, cancellation: Cancellation | None = None
    ) -> CropEmbedding:
        """Embed a picture that is an aligned crop already, without detection.

        A picture of another size is resized to 112 x 112 pixels, which distorts one that is not
        square. Raises the errors of ``detect``.
        """
        cancellation = cancellation or Cancellation()
        cancellation.raise_if_cancelled()
        pixels = decode(image, self.limits)
        height, width = pixels.shape[:2]
        crop = canonical_crop(pixels)
        embedding = self.face_embedder.embed(crop, cancellation)
        # The caller vouches that this is a face, and that it fills the crop.
        vouched = Detection((0.0, 0.0, width, height), canonical_landmarks(width, height), 1.0)
        measures = measure(vouched, crop, embedding.norm, self.embedder.norm_range)
        return CropEmbedding(embedding.vector, measures.quality, measures.confidence)

    def warm_up(self) -> None:
        """Run the first inference, which is slow, and prove that the models work.

        Raises ``ModelsError`` when the models cannot score the built-in picture.
        """
        self.check()

    def check(self, cancellation: Cancellation | None = None) -> None:
        """Score the built-in picture. Raises the errors of ``score``."""
        self.score(built_in_picture(), min_confidence=0.5, max_faces=1, cancellation=cancellation)

    @property
    def _search(self) -> PictureSearch:
        return PictureSearch(self.face_detector, self.limits)

    def _score_face(
        self, picture: DecodedPicture, found: Detection, minimum: float, clock: StageClock
    ) -> Face:
        embedded = self._embed_upright(picture.pixels, found, minimum, clock)
        face = embedded.detection.in_source(picture)
        norm_range = self.embedder.norm_range
        measures = measure(face, embedded.crop, embedded.embedding.norm, norm_range)
        if self.quality_assessor is not None:
            with clock.stage("assess"):
                learned = self.quality_assessor.assess(embedded.crop, clock.cancellation)
            measures = replace(measures, learned_quality=learned)
        return Face(
            bounding_box=face.bounding_box,
            landmarks=face.landmarks,
            detection_confidence=face.detection_confidence,
            embedding=embedded.embedding.vector,
            measures=measures,
        )

    def _embed_upright(
        self, pixels: NDArray[np.uint8], found: Detection, minimum: float, clock: StageClock
    ) -> _EmbeddedFace:
        """Embed a face; when it is hard to recognise, try it in other rotations too."""
        embedded = self._embed(pixels, found, clock)
        recognisable = recognisability(embedded.embedding.norm, self.embedder.norm_range)
        # A face with a doubtful score has been examined in all rotations already.
        certain = found.detection_confidence >= self.detector.certain
        if not certain or recognisable is None or recognisable >= DOUBTFUL:
            return embedded
        with clock.stage("detect"):
            rotated = FaceSearch(self.face_detector).straighten(
                pixels, found, min_confidence=minimum, cancellation=clock.cancellation
            )
        if rotated is None:
            return embedded
        other = self._embed(pixels, rotated, clock)
        return other if other.embedding.norm > embedded.embedding.norm else embedded

    def _embed(
        self, pixels: NDArray[np.uint8], found: Detection, clock: StageClock
    ) -> _EmbeddedFace:
        with clock.stage("align"):
            try:
                crop = align(pixels, found.landmarks)
            except ValueError as error:
                raise InferenceFailed(self.detector.name, str(error)) from error
        with clock.stage("embed"):
            return _EmbeddedFace(found, crop, self.face_embedder.embed(crop, clock.cancellation))


@dataclass(frozen=True)
class _EmbeddedFace:
    detection: Detection
    crop: NDArray[np.uint8]
    embedding: Embedding
