"""Reads the examples of each topic in ``schemas/examples`` as Kafka messages."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import schemas

FOLDER = Path(schemas.__file__).parent / "examples"


@dataclass(frozen=True)
class Example:
    """One example file, as a Kafka message."""

    path: Path
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    value: bytes | None
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """The path under the folder of examples."""
        return str(self.path.relative_to(FOLDER))


def examples(topic: str, kind: str) -> list[Example]:
    """Return all examples of a topic; ``kind`` is "v1" or "invalid"."""
    return [_read(path) for path in sorted((FOLDER / topic / kind).glob("*.json"))]


def example(name: str) -> Example:
    """Return one example by its path under the folder of examples, without ``.json``."""
    return _read(FOLDER / f"{name}.json")


def _read(path: Path) -> Example:
    content = json.loads(path.read_text("utf-8"))
    if path.parent.name != "invalid" and not path.name.endswith(".message.json"):
        content = {"value": content}
    key = content.get("key")
    return Example(
        path=path,
        key=None if key is None else key.encode(),
        headers=[(name, text.encode()) for name, text in content.get("headers", {}).items()],
        value=_value_of(content),
        content=content,
    )


def _value_of(content: dict[str, Any]) -> bytes | None:
    if "value_base64" in content:
        return base64.b64decode(content["value_base64"], validate=True)
    if "value_text" in content:
        text: str = content["value_text"]
        return text.encode()
    return json.dumps(content["value"]).encode() if "value" in content else None
