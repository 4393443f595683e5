"""Adding entries to the metadata of an event, within the JSON budget."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import JsonValue
from pydantic_core import to_json

from schemas.errors import Problem, describe, shown_name
from schemas.field_types import JSON_EXPECTED, json_flaw
from schemas.json_budget import JSON_BUDGET, JSON_BUDGET_EXPECTED
from schemas.raw_event import RawEvent

# Older names of entries, at the top level of an event or in its metadata.
METADATA_NAMES: Mapping[str, str] = MappingProxyType(
    {"nftVerified": "nft_verified", "wldVerified": "wld_verified"}
)


def add_entries(event: RawEvent, entries: Mapping[str, JsonValue], prefix: str) -> None:
    """Add entries under their current names; they replace entries of the same name.

    An entry that cannot be JSON, or that has different values under its two names, is left out
    and recorded as a problem; ``prefix`` says where it was.
    """
    for name, value in entries.items():
        current = METADATA_NAMES.get(name, name)
        shown = prefix + shown_name(name)
        if flaw := json_flaw(value):
            event.problems.append(Problem(shown, JSON_EXPECTED, flaw))
        elif current != name and current in entries and to_json(entries[current]) != to_json(value):
            expected = f"the same value as {prefix}{current}"
            event.problems.append(Problem(shown, expected, f"another: {describe(value)}"))
        else:
            event.metadata[current] = value


def bound_metadata(event: RawEvent) -> None:
    """Drop all entries and record a problem when they exceed ``JSON_BUDGET``."""
    size = len(to_json(event.metadata))
    if size > JSON_BUDGET:
        event.problems.append(Problem("metadata", JSON_BUDGET_EXPECTED, f"{size:,} bytes"))
        event.metadata.clear()
