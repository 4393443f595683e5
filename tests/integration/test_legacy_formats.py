"""Jobs and results in the formats of the older system."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from schemas.codec import decode_scored_face
from tests.integration.http_client import PORTRAIT, SCORE, call, score_request
from tests.integration.stack import running_stack
from tools.pictures import portrait_bytes


async def test_results_in_the_legacy_format(tmp_path: Path) -> None:
    """``RESULT_FORMAT=legacy`` adds ``faceId`` and ``detectionData`` to each answer."""
    with (
        running_stack(tmp_path) as stack,
        stack.worker(RESULT_FORMAT="legacy", HTTP_SCORE_TIMEOUT_MS="20000") as worker,
    ):
        async with stack.reader(stack.topics.scored_face) as reader:
            real = call(worker.url + SCORE, score_request("ada")).body["data"]
            simulated = call(worker.url + SCORE, score_request("ada", useRealML=False)).body["data"]
            records = [json.loads(record.value) async for record in reader.records(follow=False)]
        detected = call(worker.url + "/api/detect-face", {"image": PORTRAIT}).body["faces"][0]
    assert real["faceId"] == real["face_id"]
    # Detecting all faces searches at more sizes than detecting one, so values differ a little.
    for part in ("bbox", "landmarks"):
        assert list(detected[part]) == list(real["detectionData"][part])
    assert list(detected["bbox"].values()) == pytest.approx(
        list(real["detectionData"]["bbox"].values()), abs=10
    )
    assert detected["confidence"] == pytest.approx(real["detectionData"]["confidence"], abs=0.05)
    assert (simulated["face_id"], None) == (simulated["faceId"], simulated["detectionData"])
    assert [real, simulated] == records


async def test_jobs_of_the_older_queue_are_scored(tmp_path: Path) -> None:
    """Pictures come by value or by path, metadata inline or apart."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "ada.jpg").write_bytes(portrait_bytes())
    flags: dict[str, Any] = {"nftVerified": True, "wldVerified": False}
    jobs: dict[str, dict[str, Any]] = {
        "by-value": {"image": PORTRAIT, "isBase64": True, **flags, "useRealML": True},
        "by-path": {"image": str(pictures / "ada.jpg"), "isBase64": False, **flags},
        "of-the-route": {
            "imageBase64": f"data:image/jpeg;base64,{PORTRAIT}",
            "metadata": {**flags, "timestamp": "2024-05-01T12:00:00.000Z"},
        },
        "simulated": {"image": PORTRAIT, "isBase64": True, **flags, "useRealML": False},
    }
    with (
        running_stack(tmp_path / "stack") as stack,
        stack.worker(IMAGE_URI_ALLOW=str(pictures)),
    ):
        async with stack.reader(stack.topics.scored_face) as reader:
            for user_id, job in jobs.items():
                # Messages of the older queue have no keys.
                await stack.publish(json.dumps({"userId": user_id, **job}).encode())
            faces = {}
            async with asyncio.timeout(60):
                async for record in reader.records(follow=True):
                    face = decode_scored_face(record.value)
                    faces[face.user_id] = face
                    if len(faces) == len(jobs):
                        break
    assert {"simulated": "simulated"} == {
        user_id: face.provenance for user_id, face in faces.items() if face.provenance != "real"
    }
    for face in faces.values():
        assert (True, False) == (face.metadata["nft_verified"], face.metadata["wld_verified"])
        assert face.metadata.get("timestamp") in (None, "2024-05-01T12:00:00.000Z")
    similarity = sum(
        a * b for a, b in zip(faces["by-path"].embedding, faces["by-value"].embedding, strict=True)
    )
    assert similarity == pytest.approx(1.0, abs=1e-4)
