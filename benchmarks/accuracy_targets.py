"""The accuracy targets, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A bound for one ``key=value`` line, at least or at most.

    Of a share like 43/46 the first number counts; ``all_of_them`` requires both to be equal.
    """

    key: str
    description: str
    bound: float
    at_least: bool = True
    all_of_them: bool = False

    @property
    def wanted(self) -> str:
        if self.all_of_them:
            return "all"
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Verdict:
    """A target and its printed value, None if this run did not measure it."""

    target: Target
    value: str | None

    @property
    def outcome(self) -> str:
        """The outcome: ``reached``, ``NOT-REACHED`` or ``not-measured``."""
        if self.value is None:
            return "not-measured"
        part, _, whole = self.value.partition("/")
        number, target = float(part), self.target
        if target.all_of_them:
            reached = part == whole
        elif target.at_least:
            reached = number >= target.bound
        else:
            reached = number <= target.bound
        return "reached" if reached else "NOT-REACHED"

    def line(self) -> str:
        wanted = self.target.wanted.replace("≥ ", "at least ").replace("≤ ", "at most ")
        return f"reach_{self.target.key}={self.outcome} ({self.value or '-'}, wanted {wanted})"


def verdicts(values: Mapping[str, str]) -> list[Verdict]:
    """Judge each target by the measured values."""
    return [Verdict(target, values.get(target.key)) for target in TARGETS]


TARGETS = (
    Target("lfw_accuracy_sface", "SFace on LFW's pairs, %", 99.0),
    Target("lfw_accuracy_fr_feature", "fr_feature on LFW's pairs, %", 98.9),
    Target("found_yunet_compreface", "faces of CompreFace found, of 46", 46),
    Target("found_yunet_dlib_faces", "labelled faces of dlib found, of 43", 43),
    Target("false_faces_yunet", "false faces on pictures without one", 2, at_least=False),
    *(
        target
        for angle, how in ((90, "a quarter turn"), (180, "upside down"), (270, "three quarters"))
        for target in (
            Target(f"turned{angle}_found_yunet", f"{how}: copies found", 0, all_of_them=True),
            Target(f"turned{angle}_cosine_yunet", f"{how}: cosine to the upright, median", 0.9),
        )
    ),
)
