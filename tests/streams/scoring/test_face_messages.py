"""Scored faces: what an answer contains, and the headers that it carries."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from schemas.codec import decode_scored_face
from schemas.scored_face import face_id_of
from streams.config.settings import load_settings
from streams.inference.model_loading import load_models
from streams.inference.pool import InferencePool
from tests.fakes import incoming
from tests.models.generated_graphs import quality_model
from tests.streams.scoring.event_scoring import DIGEST, EVENT_ID, answers, event, scorer
from tools.pictures import encoded, portrait, portrait_bytes

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def two_people() -> bytes:
    """Return a JPEG with two portraits side by side."""
    left, right = portrait(), portrait("eileen-collins")
    picture = Image.new("RGB", (left.width + right.width, max(left.height, right.height)))
    picture.paste(left, (0, 0))
    picture.paste(right, (left.width, 0))
    return encoded(picture, "JPEG")


async def test_an_answer_carries_its_event_and_the_models(pool: InferencePool) -> None:
    """The answer has the event's ids and metadata, the models and the times of the stages."""
    value = event(
        portrait_bytes(), submitted_at="2024-05-01T12:00:00Z", metadata={"a": 1}, extra=[None]
    )
    (answer,) = await answers(scorer(pool), incoming(value))
    face = decode_scored_face(answer.value)
    assert (answer.topic, answer.key) == ("scored-face", b"user-1")
    assert (face.event_id, face.user_id, face.provenance) == (EVENT_ID, "user-1", "real")
    assert (face.face_id, face.face_index, face.face_count) == (face_id_of(EVENT_ID, 0), 0, 1)
    assert face.metadata == {"a": 1, "extra": [None]}
    assert face.submitted_at is not None
    assert face.submitted_at.isoformat() == "2024-05-01T12:00:00+00:00"
    assert face.image_sha256 == DIGEST
    assert face.model is not None
    assert face.model.embedder_sha256 == pool.pipeline.embedder.sha256
    assert (face.model.assessor, face.measures.learned_quality) == (None, None)
    assert face.embedding_size == len(face.embedding) == 128
    assert face.bounding_box is not None
    assert face.timings_ms is not None
    assert face.timings_ms.embed is not None
    assert (face.timings_ms.fetch, face.timings_ms.queued) == (None, None)


async def test_a_quality_model_adds_its_score_name_and_time(tmp_path: Path) -> None:
    """``FACE_QUALITY`` chooses a model that scores each face beside the formula."""
    quality_model(tmp_path / "judge.onnx")
    chosen = load_settings(face_quality="judge", model_path=tmp_path, model_cache=tmp_path)
    judged = InferencePool(lambda: load_models(chosen), threads=1, timeout_s=60.0)
    await judged.start()
    (answer,) = await answers(scorer(judged), incoming(event(portrait_bytes())))
    await judged.stop()
    face = decode_scored_face(answer.value)
    assert face.measures.learned_quality is not None
    assert -1.0 < face.measures.learned_quality < 1.0
    assert face.model is not None
    assert ("judge", judged.pipeline.assessor.sha256) == (  # type: ignore[union-attr]
        face.model.assessor,
        face.model.assessor_sha256,
    )
    assert face.timings_ms is not None
    assert face.timings_ms.assess is not None


async def test_each_face_of_a_picture_becomes_a_message(pool: InferencePool) -> None:
    """Each has its own id, the same at every delivery, and the user as its key."""
    value = event(two_people(), max_faces=5)
    first, second = await answers(scorer(pool), incoming(value, key=None))
    faces = [decode_scored_face(answer.value) for answer in (first, second)]
    assert [face.face_index for face in faces] == [0, 1]
    assert [face.face_count for face in faces] == [2, 2]
    assert [face.face_id for face in faces] == [face_id_of(EVENT_ID, 0), face_id_of(EVENT_ID, 1)]
    assert {first.key, second.key} == {b"user-1"}
    assert [dict(answer.headers)["ce_id"] for answer in (first, second)] == [
        str(face.face_id).encode() for face in faces
    ]
    again = await answers(scorer(pool), incoming(value, partition=0, offset=7))
    assert [decode_scored_face(answer.value).face_id for answer in again] == [
        face.face_id for face in faces
    ]


async def test_answers_carry_the_headers_of_cloud_events_and_the_trace(pool: InferencePool) -> None:
    """Other headers of the sender are not copied."""
    message = incoming(
        event(portrait_bytes()), headers=(("traceparent", TRACE), ("x-internal", b"1"))
    )
    (answer,) = await answers(scorer(pool), message)
    headers = dict(answer.headers)
    assert headers["traceparent"] == TRACE
    assert (headers["ce_type"], headers["ce_source"]) == (b"scored-face", b"facestream")
    assert headers["content-type"] == b"application/json"
    assert "x-internal" not in headers


async def test_the_time_in_the_topic_is_measured(pool: InferencePool) -> None:
    """It is negative when the sender's clock is ahead, which is not an error."""
    message = incoming(event(portrait_bytes()), timestamp=32503680000.0)
    (answer,) = await answers(scorer(pool), message)
    timings = decode_scored_face(answer.value).timings_ms
    assert timings is not None
    assert timings.queued is not None
    assert timings.queued < 0
