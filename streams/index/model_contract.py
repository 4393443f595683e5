"""The models that made a collection, kept in its metadata and compared before anything is written.

A collection accepts vectors of any embedder of the right size, and of one embedder behind different
detectors or formulas, without an error. Similarities between such vectors are meaningless.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from models.manifest import ModelDescription
from models.quality.formulas import FORMULA_VERSION
from streams.index.errors import IndexRejected

KEY = "model_contract"

# The embedder's name becomes part of a URL and, for an embedded index, of a folder's name.
_EMBEDDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class ModelContract:
    """The models and formulas that all points of a collection must share."""

    detector: str
    detector_sha256: str
    embedder: str
    embedder_sha256: str
    embedding_size: int
    formula_version: str

    @property
    def collection(self) -> str:
        """The collection's name, ``faces-<embedder>-<size>``.

        Raises ``IndexRejected`` for an embedder whose name cannot be part of a URL.
        """
        if not _EMBEDDER.fullmatch(self.embedder):
            raise IndexRejected(
                f"embedder {self.embedder!r}: expected up to 100 letters, digits, dots, dashes,"
                " underscores"
            )
        return f"faces-{self.embedder}-{self.embedding_size}"

    def metadata(self) -> dict[str, object]:
        """Return the contract as a collection's metadata."""
        return {KEY: asdict(self)}

    def differences(self, made_by: ModelContract) -> str:
        """Describe how the contract ``made_by`` of a collection differs; empty when equal.

        The first digits of the sha256 tell models with equal names apart.
        """
        pairs = (
            ("detector", _named(self, "detector"), _named(made_by, "detector")),
            ("embedder", _named(self, "embedder"), _named(made_by, "embedder")),
            ("embedding size", self.embedding_size, made_by.embedding_size),
            ("formula version", self.formula_version, made_by.formula_version),
        )
        return "; ".join(
            f"{what} {theirs}, not {mine}" for what, mine, theirs in pairs if mine != theirs
        )


def contract_of(detector: ModelDescription, embedder: ModelDescription) -> ModelContract:
    """Return the contract of the faces that these models find and embed."""
    return ModelContract(
        detector=detector.name,
        detector_sha256=detector.sha256,
        embedder=embedder.name,
        embedder_sha256=embedder.sha256,
        embedding_size=embedder.dimension,
        formula_version=str(FORMULA_VERSION),
    )


def contract_in(metadata: Mapping[str, object] | None) -> ModelContract | None:
    """Return the contract in a collection's metadata; None when none can be read."""
    stored = (metadata or {}).get(KEY)
    try:
        return ModelContract(**stored) if isinstance(stored, dict) else None
    except TypeError:
        return None


def _named(contract: ModelContract, part: str) -> str:
    sha256 = str(getattr(contract, f"{part}_sha256"))
    return f"{getattr(contract, part)} ({sha256[:8]})"
