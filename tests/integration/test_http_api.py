"""The older services' three calls, answered by a real worker."""

from __future__ import annotations

import gzip
import json
import socket
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from models.pipeline import FacePipeline
from streams.commands.demo_pictures import demo_pictures
from streams.config.settings import load_settings
from streams.inference.pool import load_models
from streams.local.embedded_broker import free_port
from streams.local.worker_process import WorkerProcess
from streams.web.openapi import COMMITTED
from tests.integration.http_client import Answer, call, text_of, unfinished_request
from tests.integration.stack import Stack, wait_until
from tests.metrics_page import metrics_of
from tools.pictures import encoded, png_declaring, portrait, portrait_bytes

DETECT, EXTRACT = "/api/detect-face", "/api/extract-embedding"
#: Room for a portrait, and little more.
MAX_IMAGE_BYTES = 128 * 1024


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for the tests that need no settings of their own."""
    with stack.worker(MAX_IMAGE_BYTES=str(MAX_IMAGE_BYTES)) as running:
        yield running


@pytest.fixture(scope="module")
def pipeline() -> FacePipeline:
    """Load the same models in this process."""
    return load_models(load_settings())


def two_people() -> bytes:
    return next(one.image for one in demo_pictures() if one.name == "both-people")


def blank() -> bytes:
    return encoded(Image.new("RGB", (64, 64), "skyblue"), "PNG")


def assert_matches(answer: Answer, component: str) -> None:
    """Check the body against a schema of the committed OpenAPI document."""
    document = json.loads(COMMITTED.read_text())
    schema = {"$ref": f"#/components/schemas/{component}", **document}
    Draft202012Validator(schema).validate(answer.body)


def assert_refused(answer: Answer, status: int, message: str) -> None:
    """Check that the answer is a ``Failure`` with this status and message."""
    assert (status, False) == (answer.status, answer.body["success"])
    assert message in answer.body["message"]
    assert answer.headers["content-type"].startswith("application/json")
    assert_matches(answer, "Failure")


def test_a_face_is_detected(worker: WorkerProcess, pipeline: FacePipeline) -> None:
    """The answer has the older service's shape and units, and the models' values."""
    answer = call(worker.url + DETECT, {"image": text_of(portrait_bytes())})
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
    image = "data:image/jpeg;base64," + text_of(portrait_bytes())
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
    found = call(worker.url + DETECT, {"image": text_of(portrait_bytes())}).body["faces"][0]
    below, above = (
        call(worker.url + DETECT, {"image": text_of(portrait_bytes()), "min_confidence": minimum})
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


@pytest.mark.parametrize("page", [DETECT, EXTRACT])
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "body: expected JSON"),
        (b'{"image": ', 400, "body: expected JSON"),
        (b"\xff\xfe", 400, "body: expected JSON"),
        (b"[]", 400, "body: expected a JSON object"),
        (b"[" * 50_000, 400, "body: expected JSON"),
        (b"[" + b"{}," * 70_000 + b"0]", 400, "body: expected at most 65,536 bytes of JSON beside"),
        ({}, 400, "image: expected a picture in base64"),
        ({"image": None}, 400, "image: expected a picture in base64"),
        ({"image": 7}, 400, "image: expected a picture in base64"),
        ({"image": ""}, 400, "image: expected a picture in base64"),
        ({"image": "not base64!"}, 400, "image: expected a picture in base64"),
        ({"image": "data:image/png,abc"}, 400, "image: expected a picture in base64"),
        ({"image": text_of(b"not a picture")}, 400, "cannot be read"),
        ({"image": text_of(portrait_bytes()[:5000])}, 400, "cannot be read"),
        ({"image": text_of(png_declaring(50_000, 50_000))}, 413, "the limit is"),
        ({"image": text_of(bytes(MAX_IMAGE_BYTES + 1))}, 413, "the limit is"),
        ({"image": "A" * (MAX_IMAGE_BYTES * 2)}, 413, "MAX_IMAGE_BYTES"),
    ],
)
def test_a_bad_request_is_explained(
    worker: WorkerProcess, page: str, body: Any, status: int, message: str
) -> None:
    """The message is short and does not contain the picture."""
    answer = call(worker.url + page, body)
    assert_refused(answer, status, message)
    assert len(answer.body["message"]) < 500


@pytest.mark.parametrize(
    ("page", "field", "value"),
    [
        (DETECT, "min_confidence", 1.5),
        (DETECT, "min_confidence", "0.7"),
        (EXTRACT, "aligned", "yes"),
    ],
)
def test_a_wrong_field_is_named(
    worker: WorkerProcess, page: str, field: str, value: object
) -> None:
    """Values are not converted."""
    answer = call(worker.url + page, {"image": text_of(portrait_bytes()), field: value})
    assert_refused(answer, 400, f"{field}: expected")


def test_the_size_limit_holds_for_the_unpacked_body(worker: WorkerProcess) -> None:
    """A small body that unpacks to a hundred megabytes is refused."""
    compressed = {"Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps({"image": text_of(portrait_bytes())}).encode())
    assert len(call(worker.url + DETECT, body, headers=compressed).body["faces"]) == 1
    bomb = gzip.compress(b" " * (100 * 1024 * 1024))
    assert_refused(call(worker.url + DETECT, bomb, headers=compressed), 413, "MAX_IMAGE_BYTES")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_cannot_be_unpacked_is_refused(worker: WorkerProcess, encoding: str) -> None:
    """The same encoding with a valid body is accepted."""
    compressed = {"Content-Encoding": encoding}
    answer = call(worker.url + DETECT, b"neither of them", headers=compressed)
    assert_refused(answer, 400, f"the body broke off, or cannot be unpacked as '{encoding}'")
    assert "\n" not in answer.body["message"]
    body = json.dumps({"image": text_of(portrait_bytes())}).encode()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    assert call(worker.url + DETECT, packed, headers=compressed).status == 200


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_the_http_server_refuses_other_encodings(worker: WorkerProcess, encoding: str) -> None:
    """The answer is plain text, because the request does not reach a page."""
    request = urllib.request.Request(
        worker.url + DETECT,
        data=b"anything",
        headers={"Content-Type": "application/json", "Content-Encoding": encoding},
    )
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(request, timeout=30)
    assert answer.value.code == 400
    assert call(worker.url + "/api/health").status == 200


def test_another_content_type_is_refused(worker: WorkerProcess) -> None:
    """Otherwise a web page could make its visitors' browsers call a worker."""
    body = {"image": text_of(portrait_bytes())}
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": content_type}
        assert_refused(call(worker.url + DETECT, body, headers=headers), 415, "application/json")
    with_charset = {"Content-Type": "application/json; charset=utf-8"}
    assert call(worker.url + DETECT, body, headers=with_charset).status == 200


def test_unknown_methods_and_pages_are_refused(worker: WorkerProcess) -> None:
    """The answer names the allowed methods."""
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = call(worker.url + DETECT, method=method)
        assert_refused(answer, 405, "POST")
        assert answer.headers["allow"] == "POST"
    assert call(worker.url + DETECT, method="HEAD").status == 405
    assert_refused(call(worker.url + "/api/health", {}), 405, "GET")
    assert_refused(call(worker.url + "/api/nowhere"), 404, "no page /api/nowhere")


def test_health_runs_each_model(worker: WorkerProcess) -> None:
    """Both models answer a real inference."""
    answer = call(worker.url + "/api/health")
    assert (200, "healthy") == (answer.status, answer.body["status"])
    assert {"faceDetection": True, "faceEmbedding": True} == answer.body["details"]
    assert_matches(answer, "HealthAnswer")


def test_ml_status_has_the_older_shape(worker: WorkerProcess) -> None:
    """Older clients compare its fields."""
    answer = call(worker.url + "/api/ml-status")
    details = {"faceDetection": True, "faceEmbedding": True, "overall": True}
    assert answer.status == 200
    assert answer.body == {
        "success": True,
        "data": {
            "health": {"status": "healthy", "details": details},
            "recommendations": {"shouldUseRealML": True, "fallbackMode": False},
        },
    }
    assert_matches(answer, "MlStatusAnswer")


def test_the_openapi_document_is_served(worker: WorkerProcess) -> None:
    """It equals the committed file."""
    assert json.loads(COMMITTED.read_text()) == call(worker.url + "/api/openapi.json").body


def test_with_real_ml_off_ml_status_does_not_recommend_it(stack: Stack) -> None:
    """The models are healthy, and still answer the older services' calls."""
    with stack.worker(USE_REAL_ML="false") as worker:
        status = call(worker.url + "/api/ml-status").body["data"]
        assert status["health"]["details"]["overall"] is True
        assert {"shouldUseRealML": False, "fallbackMode": True} == status["recommendations"]
        assert call(worker.url + DETECT, {"image": text_of(portrait_bytes())}).status == 200


def test_failing_models_are_unhealthy(stack: Stack) -> None:
    """Both the health page and ml-status report them."""
    with stack.worker(app="tests.blind_app", ML_SERVICE_TIMEOUT="500") as worker:
        health = call(worker.url + "/api/health")
        assert (503, "unhealthy") == (health.status, health.body["status"])
        assert {"faceDetection": False, "faceEmbedding": False} == health.body["details"]
        assert "the detector does not find the face" in health.body["problem"]
        assert "the embedder did not answer in 500 ms" in health.body["problem"]
        assert_matches(health, "HealthAnswer")
        status = call(worker.url + "/api/ml-status")
        assert (200, True) == (status.status, status.body["success"])
        assert status.body["data"] == {
            "health": {
                "status": "unhealthy",
                "details": {"faceDetection": False, "faceEmbedding": False, "overall": False},
            },
            "recommendations": {"shouldUseRealML": False, "fallbackMode": True},
        }
        late = call(worker.url + EXTRACT, {"image": text_of(blank()), "aligned": True})
        assert_refused(late, 503, "no result in 2000 ms")
        assert int(late.headers["retry-after"]) >= 1


def test_calls_to_models_that_hang_open_the_circuit(stack: Stack) -> None:
    """Each counts as a timeout, although the caller's own deadline starts earlier."""
    calls: list[tuple[str, dict[str, Any]]] = [
        (DETECT, {}),
        (EXTRACT, {}),
        (EXTRACT, {"aligned": True}),
    ]
    with stack.worker(
        app="tests.hanging_app",
        ML_SERVICE_TIMEOUT="300",
        CIRCUIT_MIN_ATTEMPTS="2",
        CIRCUIT_WINDOW="4",
    ) as worker:
        for page, fields in calls:
            late = call(worker.url + page, {"image": text_of(portrait_bytes()), **fields})
            assert_refused(late, 503, "longer than 300 ms")
        shown = metrics_of(worker)
        assert 3 == shown["facestream_timeouts_total", "real_ml"]
        assert 1 == shown["facestream_circuit_changes_total", "open"]


def test_the_legacy_ports_serve_the_same_pages(stack: Stack) -> None:
    """The older services had a port each."""
    ports = [free_port(), free_port()]
    with stack.worker(LEGACY_PORTS=",".join(map(str, ports))) as worker:
        body = {"image": text_of(portrait_bytes())}
        for port in (*ports, worker.port):
            assert call(f"http://127.0.0.1:{port}/api/health").body["status"] == "healthy"
            assert len(call(f"http://127.0.0.1:{port}{DETECT}", body).body["faces"]) == 1


def test_a_taken_legacy_port_stops_the_start(stack: Stack, tmp_path: Path) -> None:
    """The log names the port and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with stack.worker(wait=False, LEGACY_PORTS=str(port)) as worker:
            wait_until(lambda: worker.poll() is not None, "the worker ends")
            assert worker.poll() == 78
            log = (worker.log_file or tmp_path).read_text()
            assert f"127.0.0.1:{port} is taken" in log
            assert "LEGACY_PORTS" in log


def test_requests_beyond_the_limit_are_refused(stack: Stack) -> None:
    """They get 503 with ``Retry-After`` and do not queue."""
    body = {"image": text_of(portrait_bytes())}
    with stack.worker(HTTP_MAX_PENDING="2", ML_SERVICE_TIMEOUT="30000") as worker:

        def is_full() -> bool:
            return call(worker.url + DETECT, body).status == 503

        assert not is_full()
        with unfinished_request(worker), unfinished_request(worker):
            wait_until(is_full, "both requests are open")
            answer = call(worker.url + DETECT, body)
            assert_refused(answer, 503, "try again")
            assert int(answer.headers["retry-after"]) >= 1
            assert call(worker.url + "/api/health").status == 200
        wait_until(lambda: not is_full(), "there is capacity again")


def test_an_unfinished_body_times_out_and_frees_its_capacity(stack: Stack) -> None:
    """The limit is the time that an attempt may take."""
    body = {"image": text_of(portrait_bytes())}
    with (
        stack.worker(HTTP_MAX_PENDING="1", ML_SERVICE_TIMEOUT="1500") as worker,
        unfinished_request(worker) as connection,
    ):
        received = connection.recv(4096).decode()
        assert "408" in received.splitlines()[0]
        assert '"success":false' in received
        assert call(worker.url + DETECT, body).status == 200


def test_a_token_guards_the_api(stack: Stack) -> None:
    """Each page requires it."""
    token = "0123456789abcdef-token"
    with stack.worker(API_TOKEN=token) as worker:
        for page in (DETECT, EXTRACT, "/api/score", "/api/attractiveness/score"):
            assert_refused(call(worker.url + page, {}), 401, "Bearer")
        for page in ("/api/health", "/api/ml-status", "/api/openapi.json"):
            assert_refused(call(worker.url + page), 401, "Bearer")
        with_token = {"Authorization": f"Bearer {token}"}
        body = {"image": text_of(portrait_bytes())}
        assert call(worker.url + DETECT, body, headers=with_token).status == 200
