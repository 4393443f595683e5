"""Which models made a collection: kept as its metadata, and compared before anything is written.

Vectors of two embedders, or of one embedder behind two detectors or formulas, stand side by side in
a collection without any error, and every similarity between them is wrong or not comparable.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

KEY = "model_contract"


@dataclass(frozen=True, slots=True)
class ModelContract:
    """What must be the same for all points of a collection."""

    detector: str
    detector_sha256: str
    embedder: str
    embedder_sha256: str
    embedding_size: int
    formula_version: str

    def metadata(self) -> dict[str, Any]:
        """As a collection keeps it."""
        return {KEY: asdict(self)}

    def differences(self, made_by: "ModelContract") -> str:
        """What is otherwise in the contract that made a collection, for people; empty if nothing.

        Of models that have one name, the beginning of the sha256 tells them apart.
        """
        parts = []
        for what, mine, theirs in (
            ("detector", _named(self, "detector"), _named(made_by, "detector")),
            ("embedder", _named(self, "embedder"), _named(made_by, "embedder")),
            ("embedding size", self.embedding_size, made_by.embedding_size),
            ("formula version", self.formula_version, made_by.formula_version),
        ):
            if mine != theirs:
                parts.append(f"{what} {theirs}, not {mine}")
        return "; ".join(parts)


def contract_in(metadata: Mapping[str, Any] | None) -> ModelContract | None:
    """The contract in a collection's metadata, if there is one that we can read."""
    stored = (metadata or {}).get(KEY)
    try:
        return ModelContract(**stored) if isinstance(stored, dict) else None
    except TypeError:
        return None


def _named(contract: ModelContract, part: str) -> str:
    sha256 = str(getattr(contract, f"{part}_sha256"))
    return f"{getattr(contract, part)} ({sha256[:8]})"
