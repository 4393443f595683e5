"""Problems in words: short, safe, and by kind."""

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.errors import (
    MOST_PROBLEMS,
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
    """Scalars are shown, longer things are told by kind and size."""
    assert words == describe(value)


def test_describe_size_never_shows_text() -> None:
    """A field that holds a picture is told by its length only."""
    assert describe_size("iVBORw0") == "a string of 7 characters"
    assert describe_size("") == "an empty string"


def test_many_problems_make_a_bounded_text() -> None:
    """A thousand wrong fields do not make a thousand lines; the list is whole."""
    error = InvalidEvent([Problem(f"f{n}", "x", "y") for n in range(1000)])

    assert str(error).endswith("f9: expected x, found y; and 990 more")
    assert len(error.problems) == 1000


def test_countless_problems_are_only_counted() -> None:
    """Each would be a record of its own, made to be thrown away."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(list[int]).validate_python(["x"] * (MOST_PROBLEMS + 1))
    assert [str(one) for one in problems_of(refused.value)] == [
        "value: expected another shape, found 1,001 problems"
    ]
