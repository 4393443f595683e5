"""Entries on their way into a record's metadata."""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import JsonValue
from pydantic_core import to_json

from schemas.errors import Problem, describe, shown_name
from schemas.field_types import JSON_EXPECTED, json_flaw
from schemas.json_budget import FIELDS_EXPECTED, FIELDS_ROOM
from schemas.raw_event import SentEvent

# Older names of entries; they may stand at the top of an event or in its metadata.
METADATA_NAMES: Mapping[str, str] = MappingProxyType(
    {"nftVerified": "nft_verified", "wldVerified": "wld_verified"}
)


def add_entries(sent: SentEvent, entries: Mapping[str, JsonValue], prefix: str) -> None:
    """Add entries under our names, over those of the same name that are there already.

    An entry that is not sound JSON, or that is given by both its names with different values,
    is left out and noted; `prefix` says where it stood.
    """
    for name, value in entries.items():
        ours = METADATA_NAMES.get(name, name)
        shown = prefix + shown_name(name)
        if flaw := json_flaw(value):
            sent.problems.append(Problem(shown, JSON_EXPECTED, flaw))
        elif ours != name and ours in entries and to_json(entries[ours]) != to_json(value):
            expected = f"the same value as {prefix}{ours}"
            sent.problems.append(Problem(shown, expected, f"another: {describe(value)}"))
        else:
            sent.metadata[ours] = value


def bound_metadata(sent: SentEvent) -> None:
    """Leave all entries out, and note it, where they take more than FIELDS_ROOM bytes of JSON."""
    size = len(to_json(sent.metadata))
    if size > FIELDS_ROOM:
        sent.problems.append(Problem("metadata", FIELDS_EXPECTED, f"{size:,} bytes"))
        sent.metadata.clear()
