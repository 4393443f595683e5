"""The problems of an invalid event, described so that its sender can correct it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

SHOWN_CHARACTERS = 40
SHOWN_PROBLEMS = 10
# Beyond this number, problems are only counted: no honest mistake makes as many, and each takes a
# kilobyte.
MAX_PROBLEMS = 1000
# A larger number's digits tell a reader nothing, and Python refuses to print very long ones.
SHOWN_INTEGER_BITS = 128
# Only their length is shown: a URI may contain a password, and either may contain a picture.
HIDDEN = ("image_base64", "image_uri")

# The start of pydantic's messages, which "expected" replaces.
_PREAMBLE = re.compile(r"^\w+ should (be|have) ")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of an event.

    field: as the sender wrote it.
    found: the value, shortened; never the bytes of a picture.
    """

    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.found}"


class InvalidEvent(Exception):
    """A message that violates its topic's contract; ``problems`` lists everything found wrong."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        shown = "; ".join(str(problem) for problem in self.problems[:SHOWN_PROBLEMS])
        more = len(self.problems) - SHOWN_PROBLEMS
        return f"{shown}; and {more} more" if more > 0 else shown


def inconsistent(field: str, expected: str, found: object) -> PydanticCustomError:
    """Create a validator's error for a field that contradicts the rest of its record."""
    context = {"field": field, "expected": expected, "found": str(found)}
    return PydanticCustomError(
        "inconsistent", "{field}: expected {expected}, found {found}", context
    )


def describe(value: object) -> str:
    """Describe a JSON value briefly: short scalars in full, others by kind and size."""
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return f"{value[:SHOWN_CHARACTERS]!r}… ({len(value)} characters)"
    if isinstance(value, int) and value.bit_length() > SHOWN_INTEGER_BITS:
        return "a very large number"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, str | int | float):
        return repr(value)
    return _kind_and_size(value)


def _kind_and_size(value: object) -> str:
    match value:
        case bytes():
            return f"{len(value)} bytes"
        case datetime():
            return value.isoformat()
        case list() | tuple():
            return f"an array of {len(value)}"
        case dict():
            return f"an object of {len(value)} fields"
        case _:
            return f"a {type(value).__name__}"


def describe_size(value: object) -> str:
    """Describe the value of a field in ``HIDDEN``: only the length of a string is shown."""
    if isinstance(value, str):
        return f"a string of {len(value)} characters" if value else "an empty string"
    return describe(value)


def shown_name(name: str) -> str:
    """Make a sender's field name safe to print: shortened and without control characters."""
    shown = name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}…"
    return shown if shown.isprintable() else repr(shown)[1:-1]


def problems_of(
    error: ValidationError,
    *,
    names: Mapping[str, str] | None = None,
    expected: Mapping[str, str] | None = None,
    skip: Collection[str] = (),
) -> list[Problem]:
    """Convert pydantic's findings to problems.

    ``names``: the sender's name of a field, if it differs from the record's. ``expected``: what is
    expected of a field, if that says more than pydantic's message. ``skip``: fields whose findings
    are left out; the record as a whole is the field "". A validator may override all of these by
    ``field``, ``expected`` and ``found`` in the context of its error.
    """
    if error.error_count() > MAX_PROBLEMS:
        return [Problem("value", "another shape", f"{error.error_count():,} problems")]
    return [
        _problem_of(finding, names or {}, expected or {})
        for finding in error.errors(include_url=False)
        if _root(finding) not in skip
    ]


def _root(finding: ErrorDetails) -> str:
    """Return the field of a finding; "" for the record as a whole."""
    location = finding["loc"]
    return str(location[0]) if location else ""


def _problem_of(
    finding: ErrorDetails, names: Mapping[str, str], expected: Mapping[str, str]
) -> Problem:
    context = finding.get("ctx", {})
    root = _root(finding)
    rest = "".join(f".{shown_name(str(part))}" for part in finding["loc"][1:])
    field = context.get("field") or (names.get(root, root) + rest) or "value"
    wanted = context.get("expected") or expected.get(root)
    if finding["type"] == "missing":
        return Problem(field, wanted or "a value", "nothing")
    if finding["type"] == "json_invalid":
        return Problem("value", "JSON in UTF-8", str(context.get("error")))
    show = describe_size if root in HIDDEN else describe
    found = context.get("found") or show(finding["input"])
    return Problem(field, wanted or _PREAMBLE.sub("", finding["msg"]), found)
