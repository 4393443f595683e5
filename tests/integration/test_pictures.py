"""Pictures that a real worker scores and indexes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from uuid import UUID

import pytest

from schemas.scored_face import ScoredFace
from streams.commands.demo_pictures import demo_pictures
from streams.local.worker_process import WorkerProcess
from tests.integration.stack import Stack, answers_for, image_event, new_event_id, wait_until
from tools.pictures import odd_pictures, portrait_bytes


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for all tests of this module."""
    with stack.worker() as running:
        yield running


def indexed(worker: WorkerProcess, face: ScoredFace) -> bool:
    return worker.get(f"/index/faces/{face.face_id}")[0] == 200


async def test_the_demo_pictures_are_scored_and_indexed(
    stack: Stack, worker: WorkerProcess
) -> None:
    """Faces get real scores and are indexed; other pictures get simulated scores."""
    pictures = demo_pictures()
    async with stack.submitter() as submitter, stack.reader(stack.topics.scored_face) as reader:
        submitted: dict[UUID, str] = {}
        for number, picture in enumerate(pictures):
            media_type = None if number % 2 else "image/jpeg"
            await submitter.submit(picture.event, media_type=media_type)
            submitted[picture.event.event_id] = picture.name
        answers = await answers_for(reader, set(submitted))

    by_name = {submitted[event_id]: faces for event_id, faces in answers.items()}
    for picture in pictures:
        faces = by_name[picture.name]
        if picture.people:
            assert [face.provenance for face in faces.values()] == ["real"] * len(picture.people)
        else:
            assert [face.provenance for face in faces.values()] == ["simulated"]
    assert by_name["no-face"][0].fallback_reason == "no_face"
    assert by_name["broken-file"][0].fallback_reason == "unreadable_image"

    real = [face for faces in answers.values() for face in faces.values() if face.model]
    wait_until(lambda: all(indexed(worker, face) for face in real), "every real face is indexed")
    simulated = [face for faces in answers.values() for face in faces.values() if not face.model]
    assert not any(indexed(worker, face) for face in simulated)


@pytest.mark.parametrize("media_type", [None, "image/jpeg"], ids=["json", "binary"])
async def test_both_content_modes_carry_the_same_picture(
    stack: Stack, worker: WorkerProcess, media_type: str | None
) -> None:
    """The answer is the same for JSON and for binary events."""
    event = image_event("grace", portrait_bytes())
    async with stack.submitter() as submitter, stack.reader(stack.topics.scored_face) as reader:
        await submitter.submit(event, media_type=media_type)
        face = (await answers_for(reader, {event.event_id}))[event.event_id][0]
    assert face.user_id == "grace"
    assert face.model is not None
    assert (face.model.detector, face.model.embedder) == ("yunet", "sface")
    assert face.embedding_size == 128
    assert sum(value**2 for value in face.embedding) == pytest.approx(1, abs=1e-5)
    assert face.bounding_box is not None
    assert face.bounding_box.width > 100
    assert face.timings_ms is not None
    assert face.timings_ms.embed is not None
    assert face.timings_ms.embed > 0


async def test_an_event_of_the_older_system_keeps_its_fields(
    stack: Stack, worker: WorkerProcess
) -> None:
    """It has camelCase names and no event id; unknown fields become metadata, types unchanged."""
    job = {
        "userId": "old-client",
        "image": base64.b64encode(portrait_bytes()).decode(),
        "isBase64": True,
        "nftVerified": True,
        "wldVerified": False,
        "campaign": {"id": 7, "weight": 0.5},
    }
    async with stack.reader(stack.topics.scored_face) as reader:
        await stack.publish(json.dumps(job).encode(), key=b"old-client")
        async for face in reader.scored_faces(follow=True):
            if face.user_id == "old-client":
                break
    assert face.provenance == "real"
    assert face.metadata["campaign"] == {"id": 7, "weight": 0.5}
    assert face.metadata["nft_verified"] is True
    assert face.metadata["wld_verified"] is False


async def test_unusual_picture_formats_are_scored(stack: Stack, worker: WorkerProcess) -> None:
    """These are CMYK, grey, 16 bits, alpha, palette, WebP, GIF and EXIF orientations."""
    pictures = odd_pictures()
    async with stack.submitter() as submitter, stack.reader(stack.topics.scored_face) as reader:
        names = {}
        for name, image in pictures.items():
            event = image_event(f"odd-{name}", image)
            await submitter.submit(event, media_type="image/*")
            names[event.event_id] = name
        answers = await answers_for(reader, set(names))
    failed = {
        names[event_id]: faces[0].fallback_reason
        for event_id, faces in answers.items()
        if faces[0].provenance != "real"
    }
    assert failed == {}
    upright = next(faces[0] for event_id, faces in answers.items() if names[event_id] == "exif-1")
    for event_id, faces in answers.items():
        similarity = sum(a * b for a, b in zip(upright.embedding, faces[0].embedding, strict=True))
        assert similarity > 0.9, names[event_id]


async def test_the_traceparent_is_copied_to_the_answer(stack: Stack, worker: WorkerProcess) -> None:
    """The answer also has CloudEvents headers."""
    event_id = new_event_id()
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = [
        ("content-type", b"image/jpeg"),
        ("ce_id", str(event_id).encode()),
        ("user_id", b"traced"),
        ("traceparent", trace),
    ]
    async with stack.reader(stack.topics.scored_face) as reader:
        await stack.publish(portrait_bytes(), key=b"traced", headers=headers)
        async for record in reader.records(follow=True):
            if record.key == b"traced":
                break
    answer = dict(record.headers)
    assert answer["traceparent"] == trace
    assert answer["ce_type"] == b"scored-face"
    assert json.loads(record.value)["event_id"] == str(event_id)
