"""The sizes of modules and functions, and the uses of ``Any``, stay within their limits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.deploy.files import ROOT

PACKAGES = ("schemas", "models", "streams", "agents", "tools", "benchmarks", "tests")
#: Lines of a module.
MODULE_LINES = 300
#: Lines of a function, from ``def`` to its last line; decorators do not count.
FUNCTION_LINES = 60
#: Lines that 90 % of the functions of a package do not exceed.
P90_FUNCTION_LINES = 20
#: Uses of ``Any`` in streams must be fewer. Faust ships no types, so some remain.
USES_OF_ANY = 60


@cache
def modules(package: str) -> dict[str, ast.Module]:
    """Return the parsed modules of a package by path."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(_text(path)) for path in paths}


def function_lengths(package: str) -> dict[str, int]:
    """Return the lines of each function of a package, methods and inner functions included."""
    return {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, module in modules(package).items()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def uses_of_any(module: ast.Module) -> Iterator[int]:
    """Yield the line of each import of ``Any`` and of each ``Any`` in the code."""
    for node in ast.walk(module):
        match node:
            case ast.Name(id="Any") | ast.Attribute(attr="Any") | ast.alias(name="Any"):
                yield node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_too_long(package: str) -> None:
    """A longer module has more than one subject."""
    lengths = {path: len(_text(ROOT / path).splitlines()) for path in modules(package)}
    assert {} == _above(lengths, MODULE_LINES)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_is_too_long(package: str) -> None:
    """A function fits on one screen."""
    assert {} == _above(function_lengths(package), FUNCTION_LINES)


@pytest.mark.parametrize("package", PACKAGES)
def test_most_functions_are_short(package: str) -> None:
    """The message lists the functions above the limit, of which there are too many."""
    lengths = function_lengths(package)
    long = _above(lengths, P90_FUNCTION_LINES)
    assert len(long) <= len(lengths) // 10, long


def test_any_is_rare_in_streams() -> None:
    """``Any`` turns type checks off; a ``Protocol`` or ``object`` keeps them."""
    found = {path: list(uses_of_any(module)) for path, module in modules("streams").items()}
    uses = {path: lines for path, lines in found.items() if lines}
    assert sum(map(len, uses.values())) < USES_OF_ANY, uses


def _above(lengths: dict[str, int], limit: int) -> dict[str, int]:
    return {name: length for name, length in lengths.items() if length > limit}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
