"""The models of qdrant_client are there when they are used, and not before."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import threading
from pydantic import BaseModel
from streams.qdrant_import import import_qdrant

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


def test_models_are_built_when_they_are_used() -> None:
    """In a process of its own, as any test may have imported it before."""
    ran = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "ok\n"), ran.stderr
