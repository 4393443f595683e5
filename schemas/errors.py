"""What can be wrong with an event, said so that its sender can put it right."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

SHOWN_CHARACTERS = 40
SHOWN_PROBLEMS = 10
# More are only counted: no honest mistake makes them, and each takes a kilobyte.
MOST_PROBLEMS = 1000
# Beyond this a number's digits tell a reader nothing, and Python prints no very long ones.
SHOWN_INTEGER_BITS = 128
# Told by their length only: a URI may carry a password, and what stands in either may be a picture.
HIDDEN = ("image_base64", "image_uri")

# What pydantic's messages open with, where ours say "expected".
_PREAMBLE = re.compile(r"^\w+ should (be|have) ")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an event: `field` as the sender wrote it, what was expected, and
    what was found (shortened; never the bytes of a picture)."""

    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.found}"


class InvalidEvent(Exception):
    """A message that breaks its topic's contract; `problems` lists all that was found wrong."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        shown = "; ".join(str(problem) for problem in self.problems[:SHOWN_PROBLEMS])
        more = len(self.problems) - SHOWN_PROBLEMS
        return f"{shown}; and {more} more" if more > 0 else shown


def describe(value: object) -> str:
    """A JSON value in a few words: short scalars as they are, the rest by kind and size."""
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
    """Like `describe`, for fields in HIDDEN: a string is told by its length only."""
    if isinstance(value, str):
        return f"a string of {len(value)} characters" if value else "an empty string"
    return describe(value)


def shown_name(name: str) -> str:
    """A field name that the sender chose, made safe to print: shortened, control characters
    escaped."""
    shown = name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}…"
    return shown if shown.isprintable() else repr(shown)[1:-1]


def problems_of(
    error: ValidationError,
    *,
    names: Mapping[str, str] | None = None,
    expected: Mapping[str, str] | None = None,
    skip: Collection[str] = (),
) -> list[Problem]:
    """Pydantic's findings in our words.

    `names` gives the sender's name of a field where it differs from ours; `expected` gives our
    words for a field, where they say more than pydantic's. Findings about a field in `skip` are
    left out; the record as a whole is the field "". A validator of ours may put `field`,
    `expected` and `found` in the context of its error; these win.
    """
    names, expected = names or {}, expected or {}
    if error.error_count() > MOST_PROBLEMS:
        return [Problem("value", "another shape", f"{error.error_count():,} problems")]
    problems = []
    for finding in error.errors(include_url=False):
        context = finding.get("ctx", {})
        location = finding["loc"]
        root = str(location[0]) if location else ""
        if root in skip:
            continue
        rest = "".join(f".{shown_name(str(part))}" for part in location[1:])
        field = context.get("field") or (names.get(root, root) + rest) or "value"
        wanted = context.get("expected") or expected.get(root)
        if finding["type"] == "missing":
            problems.append(Problem(field, wanted or "a value", "nothing"))
        elif finding["type"] == "json_invalid":
            problems.append(Problem("value", "JSON in UTF-8", str(context.get("error"))))
        else:
            shown = describe_size if root in HIDDEN else describe
            found = context.get("found") or shown(finding["input"])
            wanted = wanted or _PREAMBLE.sub("", finding["msg"])
            problems.append(Problem(field, wanted, found))
    return problems
