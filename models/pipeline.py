"""The stages joined: decode, detect, align, embed, measure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from models.built_in_picture import built_in_picture
from models.detection.detector import Detection, FaceDetector
from models.detection.face_search import LARGE_FRAME, FaceSearch
from models.detection.rotated_faces import MorePixelsNeeded
from models.embedding.alignment import align, canonical_crop, canonical_landmarks
from models.embedding.embedder import Embedding, FaceEmbedder
from models.errors import InferenceFailed, LowConfidence, NoFaceFound
from models.loading import load_assessor, load_detector, load_embedder
from models.manifest import ModelDescription, check_licence, chosen
from models.pictures.decoded_picture import Picture
from models.pictures.decoding import DecodeLimits, decode, decode_reduced
from models.quality.formulas import Measures, measure, recognisability
from models.quality.learned_quality import QualityAssessor
from models.session import Cancellation

DOUBTFUL = 0.5
"""Recognisability under which a face is looked at from all sides, though its detection score gave
no reason: 1 in 100 faces of LFW, two in three of those tilted by 30 degrees whose embedding had
come out useless. Costs them a second embedding at most."""

ENOUGH_BETWEEN_EYES = 36.0
"""Pixels between the eyes of a face in a reduced picture from which on the whole picture has no
more to give: in the aligned crop there are 35. A close-up of it is not enlarged either."""

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

    timings_ms: milliseconds spent in "decode", "detect", "align" and "embed", over all faces,
        and in "assess" where there is an assessor.
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
    quality_assessor: QualityAssessor | None = None

    @property
    def detector(self) -> ModelDescription:
        """Name, sha256 of the weights as published, licence."""
        return self.face_detector.description

    @property
    def embedder(self) -> ModelDescription:
        """Likewise, and the embedding's dimension."""
        return self.face_embedder.description

    @property
    def assessor(self) -> ModelDescription | None:
        """The model of `learned_quality`, where one is chosen."""
        return None if self.quality_assessor is None else self.quality_assessor.description

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
        searched = self._searched(image, min_confidence, max_faces, clock)
        if searched.problem is not None:
            raise searched.problem
        picture = searched.picture
        return ScoredImage(
            faces=tuple(
                self._face(picture, face, min_confidence, clock) for face in searched.faces
            ),
            width=picture.width,
            height=picture.height,
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
        clock = _StageClock(cancellation or Cancellation())
        searched = self._searched(image, min_confidence, MANY_FACES, clock)
        picture = searched.picture
        return DetectedFaces(
            tuple(picture.in_source(face) for face in searched.faces), picture.width, picture.height
        )

    def _searched(
        self, image: bytes, min_confidence: float, max_faces: int, clock: _StageClock
    ) -> _Searched:
        """A large JPEG is searched at a part of its size first, and whole where that has a face
        that is small, or that takes a closer look than the part has pixels for."""
        with clock.stage("decode"):
            picture = decode_reduced(image, self.limits, longest_side=LARGE_FRAME)
        if picture.is_reduced:
            with suppress(MorePixelsNeeded):
                searched = self._search(picture, min_confidence, max_faces, clock)
                if all(face.interocular >= ENOUGH_BETWEEN_EYES for face in searched.faces):
                    return searched
            with clock.stage("decode"):
                picture = Picture.whole(decode(image, self.limits))
        return self._search(picture, min_confidence, max_faces, clock)

    def _search(
        self, picture: Picture, min_confidence: float, max_faces: int, clock: _StageClock
    ) -> _Searched:
        """Raises MorePixelsNeeded for a reduced picture, InferenceFailed, InferenceTerminated."""
        try:
            with clock.stage("detect"):
                faces = FaceSearch(self.face_detector).faces(
                    picture.pixels,
                    min_confidence=min_confidence,
                    max_faces=max_faces,
                    cancellation=clock.cancellation,
                    reduced=picture.is_reduced,
                )
        except NoFaceFound:
            return _Searched(picture, (), NoFaceFound(picture.width, picture.height))
        except LowConfidence as problem:
            return _Searched(picture, (), problem)
        return _Searched(picture, faces)

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

    def _face(self, picture: Picture, found: Detection, minimum: float, clock: _StageClock) -> Face:
        pixels = picture.pixels
        seen = self._seen(pixels, found, clock)
        recognisable = recognisability(seen.embedding.norm, self.embedder.norm_range)
        # One with a doubtful score has been looked at from all sides already.
        believed = found.detection_confidence >= self.detector.certain
        if believed and recognisable is not None and recognisable < DOUBTFUL:
            with clock.stage("detect"):
                held = FaceSearch(self.face_detector).straighten(
                    pixels, found, min_confidence=minimum, cancellation=clock.cancellation
                )
            other = None if held is None else self._seen(pixels, held, clock)
            if other is not None and other.embedding.norm > seen.embedding.norm:
                seen = other
        face = picture.in_source(seen.detection)
        measures = measure(face, seen.crop, seen.embedding.norm, self.embedder.norm_range)
        if self.quality_assessor is not None:
            with clock.stage("assess"):
                learned = self.quality_assessor.assess(seen.crop, clock.cancellation)
            measures = replace(measures, learned_quality=learned)
        return Face(
            bounding_box=face.bounding_box,
            landmarks=face.landmarks,
            detection_confidence=face.detection_confidence,
            embedding=seen.embedding.vector,
            measures=measures,
        )

    def _seen(self, pixels: NDArray[np.uint8], found: Detection, clock: _StageClock) -> _SeenFace:
        with clock.stage("align"):
            try:
                crop = align(pixels, found.landmarks)
            except ValueError as error:
                raise InferenceFailed(self.detector.name, str(error)) from error
        with clock.stage("embed"):
            return _SeenFace(found, crop, self.face_embedder.embed(crop, clock.cancellation))


@dataclass(frozen=True)
class _Searched:
    """`faces`: in pixels of `picture`; without any, `problem` says why."""

    picture: Picture
    faces: tuple[Detection, ...]
    problem: NoFaceFound | LowConfidence | None = None


@dataclass(frozen=True)
class _SeenFace:
    detection: Detection
    crop: NDArray[np.uint8]
    embedding: Embedding


def load_pipeline(
    *,
    detector: str = "yunet",
    embedder: str = "sface",
    assessor: str | None = None,
    model_path: Path | None,
    cache_dir: Path,
    limits: DecodeLimits,
    accepted_licences: Collection[str] = (),
) -> FacePipeline:
    """The pipeline of two models or three, its sessions loaded but not yet warm.

    `detector`, `embedder`, `assessor`: names of the manifest, or of described files in
    `model_path`, a folder that is searched for weight files first. When `model_path` is one file,
    that file is used for its task (as assessor only where one is asked for), and the others are
    chosen by name. `cache_dir`: where prepared graphs and fetched weights are kept.
    `accepted_licences`: names of models that may be used though their licence forbids commercial
    use. Raises UnknownModel, BadDescription, LicenceNotAccepted, MissingWeights, CorruptWeights or
    InferenceFailed.
    """
    # Pictures are scored side by side by the caller's threads; more for one picture only wait.
    cv2.setNumThreads(1)
    found, embedding = chosen(detector, "detect", model_path), chosen(embedder, "embed", model_path)
    assessing = None if assessor is None else chosen(assessor, "assess", model_path)
    for model in (found, embedding, *([] if assessing is None else [assessing])):
        check_licence(model, accepted_licences)
    return FacePipeline(
        face_detector=load_detector(found, model_path, cache_dir),
        face_embedder=load_embedder(embedding, model_path, cache_dir),
        limits=limits,
        quality_assessor=None
        if assessing is None
        else load_assessor(assessing, model_path, cache_dir),
    )


@dataclass
class _StageClock:
    """Adds up what each stage of one picture took; no stage begins once it is cancelled."""

    cancellation: Cancellation
    milliseconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.cancellation.raise_if_cancelled()
        started = perf_counter()
        try:
            yield
        finally:
            # What a search cost that has to be done again counts too.
            spent = (perf_counter() - started) * 1000.0
            self.milliseconds[name] = self.milliseconds.get(name, 0.0) + spent
