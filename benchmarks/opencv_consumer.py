"""The plain consumer with OpenCV's face classes, on the same weights as facestream."""

from __future__ import annotations

import argparse
import threading

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from benchmarks.plain_consumer import FoundFace, consume, consumer_arguments

MIN_CONFIDENCE = 0.7


class OpenCvScorer:
    """``FaceDetectorYN`` and ``FaceRecognizerSF``, one of each per thread.

    ``side``: the picture's longest side for detection; 0 for its own size.
    """

    def __init__(self, detector: str, embedder: str, side: int) -> None:
        self._files = detector, embedder
        self._side = side
        self._own = threading.local()

    def __call__(self, image: bytes, max_faces: int) -> list[FoundFace]:
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise ValueError("not a picture")
        return [
            {
                "bounding_box": dict(
                    zip(("x", "y", "width", "height"), face[:4].tolist(), strict=True)
                ),
                "detection_confidence": float(face[14]),
                "embedding": self.embed(pixels, face),
            }
            for face in self.detect(pixels)[:max_faces]
        ]

    def detect(self, pixels: MatLike) -> NDArray[np.float32]:
        """Return (n, 15): box, five landmarks, score, in pixels of the picture, best first."""
        height, width = pixels.shape[:2]
        scale = min(1.0, self._side / max(height, width)) if self._side else 1.0
        small = pixels if scale == 1.0 else cv2.resize(pixels, None, fx=scale, fy=scale)
        detector = self._detector()
        detector.setInputSize((small.shape[1], small.shape[0]))
        _, faces = detector.detect(small)
        if faces is None:
            return np.empty((0, 15), np.float32)
        found = np.asarray(faces, np.float32)
        found[:, :14] /= scale
        return found[np.argsort(-found[:, 14])]

    def embed(self, pixels: MatLike, face: NDArray[np.float32]) -> list[float]:
        """Return an embedding of 128 numbers, L2-normalised."""
        recognizer = self._recognizer()
        vector = np.asarray(recognizer.feature(recognizer.alignCrop(pixels, face)))[0]
        return [float(number) for number in vector / np.linalg.norm(vector)]

    def _detector(self) -> cv2.FaceDetectorYN:
        if not hasattr(self._own, "detector"):
            self._own.detector = cv2.FaceDetectorYN.create(
                self._files[0], "", (320, 320), MIN_CONFIDENCE
            )
        detector: cv2.FaceDetectorYN = self._own.detector
        return detector

    def _recognizer(self) -> cv2.FaceRecognizerSF:
        if not hasattr(self._own, "recognizer"):
            self._own.recognizer = cv2.FaceRecognizerSF.create(self._files[1], "")
        recognizer: cv2.FaceRecognizerSF = self._own.recognizer
        return recognizer


def main() -> None:
    parser = consumer_arguments(
        argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    )
    parser.add_argument("--detector", required=True, help="YuNet's file")
    parser.add_argument("--embedder", required=True, help="SFace's file")
    parser.add_argument("--side", type=int, default=0, help="longest side for detection")
    options = parser.parse_args()
    if options.threads:
        cv2.setNumThreads(1)  # the pool already uses all cores
    consume(options, OpenCvScorer(options.detector, options.embedder, options.side))


if __name__ == "__main__":
    main()
