"""Descriptions of problems: short and safe to print."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.errors import (
    MAX_PROBLEMS,
    InvalidEvent,
    Problem,
    describe,
    describe_size,
    problems_of,
)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (12, "12"),
        (0.5, "0.5"),
        (2**129, "a very large number"),
        ("a\nb", "'a\\nb'"),
        ("a" * 41, f"'{'a' * 40}'… (41 characters)"),
        (b"123", "3 bytes"),
        ([1, 2], "an array of 2"),
        ({"a": 1}, "an object of 1 fields"),
        (object(), "a object"),
    ],
)
def test_describe(value: object, words: str) -> None:
    """Short scalars are shown in full, other values by kind and size."""
    assert words == describe(value)


def test_describe_size_never_shows_text() -> None:
    """Only the length of a field that holds a picture is shown."""
    assert describe_size("iVBORw0") == "a string of 7 characters"
    assert describe_size("") == "an empty string"


def test_the_text_of_many_problems_is_bounded() -> None:
    """The text shows ten problems and counts the others; the list is complete."""
    error = InvalidEvent([Problem(f"f{n}", "x", "y") for n in range(1000)])

    assert str(error).endswith("f9: expected x, found y; and 990 more")
    assert len(error.problems) == 1000


def test_too_many_problems_are_only_counted() -> None:
    """Not even the list holds them."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(list[int]).validate_python(["x"] * (MAX_PROBLEMS + 1))
    assert [str(one) for one in problems_of(refused.value)] == [
        "value: expected another shape, found 1,001 problems"
    ]
