"""A custom 512-dimensional embedder, and an index that was filled by other models."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streams.process.exits import EXIT_CANNOT_START
from tests.integration.stack import Stack, answers_for, exit_of, image_event, wait_until
from tests.models.generated_graphs import embedder_graph
from tools.pictures import portrait_bytes

DESCRIBED = """
task = "embed"
family = "aligned_crop"
input_size = [112, 112]
channels = "rgb"
mean = 127.5
scale = 127.5
dimension = 512
thresholds = [0.33, 0.41, 0.47]
"""


def own_model(folder: Path, *, seed: int) -> Path:
    folder.mkdir(exist_ok=True)
    path = embedder_graph(folder / "mine.onnx", 512, seed)
    path.with_suffix(".toml").write_text(DESCRIBED)
    return path


def nearest(url: str, embedding: Sequence[float]) -> Any:
    query = json.dumps({"embedding": embedding}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/index/search", data=query, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.timeout(240)
async def test_a_custom_embedder_sets_the_size_and_owns_its_collection(stack: Stack) -> None:
    """Answers and collection have its size; retrained weights cannot open the collection."""
    weights = own_model(stack.folder / "own", seed=3)
    index = str(stack.folder / "index-512")
    with stack.worker(MODEL_PATH=str(weights), QDRANT_PATH=index) as worker:
        async with stack.submitter() as submitter, stack.reader(stack.topics.scored_face) as reader:
            good = image_event("ann", portrait_bytes())
            bad = image_event("bob", b"no picture at all")
            for event in (good, bad):
                await submitter.submit(event)
            answers = await answers_for(reader, {good.event_id, bad.event_id})
        real, simulated = answers[good.event_id][0], answers[bad.event_id][0]
        assert ("real", 512, 512) == (real.provenance, real.embedding_size, len(real.embedding))
        assert real.model is not None
        assert "mine" == real.model.embedder
        assert ("simulated", 512) == (simulated.provenance, simulated.embedding_size)

        def indexed() -> bool:
            return worker.get(f"/index/faces/{real.face_id}")[0] == 200

        wait_until(indexed, "the face is indexed")
        found = nearest(worker.url, real.embedding)
        assert ("mine", str(real.face_id)) == (found["embedder"], found["nearest"][0]["face_id"])
        assert found["thresholds"] == {"1e-3": 0.33, "1e-4": 0.41, "1e-5": 0.47}
        assert (Path(index) / "collection" / "faces-mine-512").is_dir()

    retrained = own_model(stack.folder / "own", seed=4)
    with stack.worker(wait=False, MODEL_PATH=str(retrained), QDRANT_PATH=index) as worker:
        exit_status, log = exit_of(worker)
    assert exit_status == EXIT_CANNOT_START
    assert "faces-mine-512 was made by other models" in log
    assert "delete the collection" in log
    assert "Traceback" not in log
