"""``POST /api/score`` submits a picture as an event and returns its answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from schemas.scored_face import face_id_of
from streams.commands.demo_pictures import demo_pictures
from streams.local.worker_process import WorkerProcess
from tests.integration.http_client import (
    PORTRAIT,
    SCORE,
    assert_refused,
    call,
    call_async,
    score_request,
    text_of,
)
from tests.integration.stack import Stack, first_record, log_of, wait_until
from tools.pictures import encoded


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    """Start one worker for the tests that need no settings of their own."""
    with stack.worker(HTTP_SCORE_TIMEOUT_MS="20000") as running:
        yield running


async def test_the_answer_is_the_scored_face_event(stack: Stack, worker: WorkerProcess) -> None:
    """The HTTP body and the record on ``scored-face`` are equal."""
    async with stack.reader(stack.topics.scored_face, from_beginning=False) as reader:
        answer = await call_async(worker.url + SCORE, score_request("ada", useRealML=True))
        record = await first_record(reader, lambda one: one.key == b"ada")
    assert (200, True) == (answer.status, answer.body["success"])
    face = answer.body["data"]
    assert json.loads(record.value) == face
    assert ("ada", "real") == (face["user_id"], face["provenance"])
    assert {"nft_verified": True, "wld_verified": False} == face["metadata"]
    assert face["event_id"] == answer.body["event_id"]
    assert face["submitted_at"]
    assert [] == answer.body["other_faces"]
    older = ("embedding", "quality", "frontality", "symmetry", "resolution", "confidence")
    assert all(face[name] for name in older)


def test_the_older_path_is_an_alias(worker: WorkerProcess) -> None:
    """Clients of the older app keep their address."""
    answer = call(worker.url + "/api/attractiveness/score", score_request("grace"))
    assert (200, "real") == (answer.status, answer.body["data"]["provenance"])


def test_the_same_request_is_the_same_event(worker: WorkerProcess) -> None:
    """A retry after a lost answer does not create a second face."""
    first, again = (call(worker.url + SCORE, score_request("twice")).body for _ in range(2))
    other = call(worker.url + SCORE, score_request("once")).body
    assert first["event_id"] == again["event_id"] != other["event_id"]
    assert first["data"]["face_id"] == again["data"]["face_id"]


def test_a_request_may_use_the_fields_of_image_submitted(worker: WorkerProcess) -> None:
    """Its own event id is kept."""
    event_id = uuid4()
    both = next(one.image for one in demo_pictures() if one.name == "both-people")
    body = {
        "event_id": str(event_id),
        "user_id": "pair",
        "image_base64": text_of(both),
        "max_faces": 5,
        "metadata": {"campaign": {"id": 7, "weight": 0.5}},
    }
    answer = call(worker.url + SCORE, body).body
    faces = [answer["data"], *answer["other_faces"]]
    assert [str(face_id_of(event_id, index)) for index in range(2)] == [
        face["face_id"] for face in faces
    ]
    assert all(face["metadata"] == body["metadata"] for face in faces)


def test_a_picture_that_cannot_be_scored_gets_a_simulated_answer(worker: WorkerProcess) -> None:
    """The answer has the provenance and the reason."""
    blank = text_of(encoded(Image.new("RGB", (64, 64), "skyblue"), "PNG"))
    for user_id, image, fields, reason in (
        ("blank", blank, {}, "no_face"),
        ("broken", text_of(b"no picture"), {}, "unreadable_image"),
        ("unwilling", PORTRAIT, {"useRealML": False}, "real_ml_disabled"),
        ("strict", PORTRAIT, {"min_confidence": 0.99}, "low_confidence"),
    ):
        answer = call(worker.url + SCORE, score_request(user_id, image=image, **fields))
        assert answer.status == 200
        face = answer.body["data"]
        assert ("simulated", reason) == (face["provenance"], face["fallback_reason"])


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "value: expected JSON"),
        ({"image": PORTRAIT}, 400, "user_id: expected"),
        ({"userId": "ada"}, 400, "exactly one picture"),
        ({"userId": "ada", "image": "?"}, 400, "image: expected a picture in base64"),
        ({"userId": 7, "image": PORTRAIT}, 400, "userId: expected a string"),
        (score_request("ada", useRealML="yes"), 400, "useRealML: expected true or false"),
        (score_request("ada", image=text_of(bytes(9 * 1024 * 1024))), 413, "KAFKA_MAX_MESSAGE"),
        (score_request("ada", image=text_of(bytes(20 * 1024 * 1024 + 1))), 413, "the limit is"),
    ],
)
async def test_a_bad_request_publishes_nothing(
    stack: Stack, worker: WorkerProcess, body: Any, status: int, message: str
) -> None:
    """The next request's event is the next record."""
    async with stack.reader(stack.topics.image_submitted, from_beginning=False) as reader:
        assert_refused(await call_async(worker.url + SCORE, body), status, message)
        await call_async(worker.url + SCORE, score_request("next"))
        record = await first_record(reader, lambda _: True)
    assert record.key == b"next"


async def test_the_traceparent_of_a_request_is_copied(stack: Stack, worker: WorkerProcess) -> None:
    """The answer's record has it."""
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with stack.reader(stack.topics.scored_face, from_beginning=False) as reader:
        await asyncio.to_thread(
            call, worker.url + SCORE, score_request("traced"), headers={"traceparent": trace}
        )
        record = await first_record(reader, lambda one: one.key == b"traced")
    assert dict(record.headers)["traceparent"] == trace.encode()


async def test_a_worker_returns_answers_of_other_workers(
    stack: Stack, worker: WorkerProcess
) -> None:
    """Two workers share the partitions, and each returns faces that the other scored."""
    with stack.worker(HTTP_SCORE_TIMEOUT_MS="20000", LOG_LEVEL="debug") as second:
        wait_until(
            lambda: all(one.get("/health/ready")[1]["partitions"] == 6 for one in (worker, second)),
            "the partitions are shared",
        )
        users = [f"shared-{number}" for number in range(12)]
        answers = await asyncio.gather(
            *(call_async(worker.url + SCORE, score_request(user)) for user in users[:6]),
            *(call_async(second.url + SCORE, score_request(user)) for user in users[6:]),
        )
        assert [200] * 12 == [answer.status for answer in answers]
        assert users == [answer.body["data"]["user_id"] for answer in answers]
        by_second = _scored_by(second)
    # The keys spread over the partitions, so some of each six went to the other worker.
    assert by_second & set(users[:6]), "the second worker scored for the first"
    assert set(users[6:]) - by_second, "the first worker scored for the second"


def _scored_by(worker: WorkerProcess) -> set[str]:
    lines = [line for line in log_of(worker).splitlines() if "event scored" in line]
    return {json.loads(line)["user_id"] for line in lines}
