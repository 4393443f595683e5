"""``/api/detect-face`` and ``/api/extract-embedding``, the two older services' calls."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from PIL import Image

from models.pipeline import FacePipeline
from streams.commands.demo_pictures import demo_pictures
from streams.config.settings import load_settings
from streams.inference.model_loading import load_models
from streams.local.worker_process import WorkerProcess
from streams.web.openapi import COMMITTED
from tests.integration.http_client import (
    DETECT,
    EXTRACT,
    PORTRAIT,
    assert_matches,
    assert_refused,
    call,
    text_of,
)
from tests.integration.stack import Stack
from tools.pictures import encoded, portrait, portrait_bytes


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for the tests of this module."""
    with stack.worker() as running:
        yield running


@pytest.fixture(scope="module")
def pipeline() -> FacePipeline:
    """Load the same models in this process."""
    return load_models(load_settings())


def two_people() -> bytes:
    return next(one.image for one in demo_pictures() if one.name == "both-people")


def blank() -> bytes:
    return encoded(Image.new("RGB", (64, 64), "skyblue"), "PNG")


def test_a_face_is_detected(worker: WorkerProcess, pipeline: FacePipeline) -> None:
    """The answer has the older service's shape and units, and the models' values."""
    answer = call(worker.url + DETECT, {"image": PORTRAIT})
    assert answer.status == 200
    assert answer.body["success"] is True
    (face,) = answer.body["faces"]
    expected = pipeline.detect(portrait_bytes(), min_confidence=0.7).faces[0]
    assert ["x", "y", "width", "height"] == list(face["bbox"])
    assert list(face["bbox"].values()) == pytest.approx(expected.bounding_box)
    names = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"]
    assert names == list(face["landmarks"])
    for point, found in zip(expected.landmarks.tolist(), face["landmarks"].values(), strict=True):
        assert point == pytest.approx(found)
    assert face["confidence"] == pytest.approx(expected.detection_confidence)
    assert_matches(answer, "DetectFaceAnswer")


def test_faces_are_ordered_by_prominence(worker: WorkerProcess) -> None:
    """Clients use the first one."""
    answer = call(worker.url + DETECT, {"image": text_of(two_people())})
    areas = [face["bbox"]["width"] * face["bbox"]["height"] for face in answer.body["faces"]]
    assert len(areas) == 2
    assert areas[0] > areas[1]


def test_a_data_url_is_accepted(worker: WorkerProcess) -> None:
    """Browsers send them; ``null`` equals an absent field."""
    image = "data:image/jpeg;base64," + PORTRAIT
    answer = call(worker.url + DETECT, {"image": image, "min_confidence": None, "unknown": 1})
    assert len(answer.body["faces"]) == 1


@pytest.mark.parametrize(("image", "min_confidence"), [(blank(), 0.7), (portrait_bytes(), 0.99)])
def test_no_face_is_an_empty_list(
    worker: WorkerProcess, image: bytes, min_confidence: float
) -> None:
    """The older clients check the length of the list, so this is no failure."""
    body = {"image": text_of(image), "min_confidence": min_confidence}
    answer = call(worker.url + DETECT, body)
    assert (200, True, []) == (answer.status, answer.body["success"], answer.body["faces"])
    assert "no face" in answer.body["message"]


def test_the_caller_sets_the_minimum_confidence(worker: WorkerProcess) -> None:
    """A face below it is left out."""
    found = call(worker.url + DETECT, {"image": PORTRAIT}).body["faces"][0]
    below, above = (
        call(worker.url + DETECT, {"image": PORTRAIT, "min_confidence": minimum})
        for minimum in (found["confidence"] - 0.001, found["confidence"] + 0.001)
    )
    assert (1, 0) == (len(below.body["faces"]), len(above.body["faces"]))


def test_an_embedding_is_extracted(worker: WorkerProcess, pipeline: FacePipeline) -> None:
    """It is the one of the most prominent face, with the values of ``scored-face``."""
    answer = call(worker.url + EXTRACT, {"image": text_of(two_people()), "aligned": False})
    assert (200, True) == (answer.status, answer.body["success"])
    expected = pipeline.score(two_people(), min_confidence=0.7, max_faces=1).faces[0]
    extracted = answer.body["embedding"]
    assert ["embedding", "quality", "confidence"] == list(extracted)
    assert expected.embedding.tolist() == pytest.approx(extracted["embedding"])
    assert expected.measures.quality == pytest.approx(extracted["quality"])
    assert expected.measures.confidence == pytest.approx(extracted["confidence"])
    assert_matches(answer, "ExtractEmbeddingAnswer")


@pytest.mark.parametrize("side", [112, 150])
def test_an_aligned_crop_is_embedded_without_detection(
    worker: WorkerProcess, pipeline: FacePipeline, side: int
) -> None:
    """A crop of another size is resized."""
    crop = encoded(portrait().resize((side, side)), "PNG")
    answer = call(worker.url + EXTRACT, {"image": text_of(crop), "aligned": True})
    expected = pipeline.embed_aligned(crop)
    assert expected.embedding.tolist() == pytest.approx(answer.body["embedding"]["embedding"])
    assert call(worker.url + EXTRACT, {"image": text_of(blank()), "aligned": True}).status == 200


def test_a_picture_without_a_face_has_no_embedding(worker: WorkerProcess) -> None:
    """The status is 422, because the request itself is valid."""
    assert_refused(call(worker.url + EXTRACT, {"image": text_of(blank())}), 422, "No face found")


def test_the_openapi_document_is_served(worker: WorkerProcess) -> None:
    """It equals the committed file."""
    assert json.loads(COMMITTED.read_text()) == call(worker.url + "/api/openapi.json").body
