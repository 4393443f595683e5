"""The models of qdrant_client are there when they are used, and not before."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import threading
from pydantic import BaseModel
from streams.index.qdrant_import import import_qdrant

ours = BaseModel.__dict__["model_rebuild"]
import_qdrant()
import_qdrant()
assert BaseModel.__dict__["model_rebuild"] is ours, "left changed"

from qdrant_client import models
made = [model for model in vars(models).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel]
waiting = [model for model in made if not model.__pydantic_complete__]
assert len(waiting) > 100, f"{len(waiting)} of {len(made)} are left for later"

def use():
    point = models.PointStruct(id=1, vector=[0.5], payload={"a": 1})
    assert point.model_dump_json(), point
    answers.append(models.Filter(must=[{"key": "a", "match": {"value": 1}}]))

answers = []
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(answers) == 8 and all(a == answers[0] for a in answers), answers
assert isinstance(answers[0].must[0], models.FieldCondition), answers[0]
try:
    models.PointStruct(id=1, vector="none", payload=[])
except ValueError as error:
    assert "PointStruct" in str(error), error
else:
    raise AssertionError("nothing was validated")
for model in made:
    model.model_rebuild()
assert all(model.__pydantic_complete__ for model in made)
print("ok")
"""


WITHOUT_GRPC = """
import sys
from streams.index.qdrant_import import import_qdrant

import_qdrant()
loaded = [name for name in sys.modules if name.partition(".")[0] == "grpc"]
assert not loaded, loaded

from qdrant_client import QdrantClient, models
client = QdrantClient(location=":memory:")
size = models.VectorParams(size=2, distance=models.Distance.COSINE)
client.create_collection("faces", vectors_config=size)
client.upsert("faces", [models.PointStruct(id=1, vector=[0.5, 0.5], payload={"a": 1})])
assert client.query_points("faces", query=[1.0, 1.0]).points[0].payload == {"a": 1}
from qdrant_client.http.exceptions import ResponseHandlingException
server = QdrantClient(url="http://127.0.0.1:1", check_compatibility=False)
try:
    server.query_points("faces", query=[1.0, 1.0])
except ResponseHandlingException:
    server.close()
else:
    raise AssertionError("who answered?")

import grpc  # who wants it gets it
assert grpc.StatusCode.RESOURCE_EXHAUSTED.value
print("ok")
"""

WANTS_MORE = """
import sys
from streams.index import qdrant_import

class Refuses(qdrant_import._NamesOnly):
    def __getattr__(self, name):
        raise AttributeError(name)

qdrant_import._NamesOnly = Refuses
qdrant_import.import_qdrant()
from qdrant_client import QdrantClient
import grpc
assert sys.modules["qdrant_client.connection"].grpc is grpc
print("ok")
"""


def run(code: str) -> None:
    """In a process of its own, as any test may have imported it before."""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "ok\n"), ran.stderr


def test_models_are_built_when_they_are_used() -> None:
    run(CODE)


def test_grpc_is_not_loaded() -> None:
    """Nor is anything left that would keep others from it."""
    run(WITHOUT_GRPC)


def test_a_client_that_wants_more_of_grpc_than_names_gets_it() -> None:
    run(WANTS_MORE)
