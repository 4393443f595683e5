"""As much of PromQL as our alert rules use, so that they are tested without Prometheus.

Where promtool is installed it judges the same cases, and the two must agree.
https://prometheus.io/docs/prometheus/latest/querying/basics/
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Samples = list[tuple[float, float]]
Window = dict[Labels, Samples]

LOOKBACK_S = 300.0
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "==": operator.eq,
}
TOKEN = re.compile(
    r'\s*("[^"]*"'  # text
    r"|\d+(?:\.\d+)?(?![\d.]*[smh])|\d+[smh]"  # number, duration
    r"|\w+|==|>=|=~|[/(){}\[\],:<>=])"
)


def seconds(text: str) -> float:
    """`5m` in seconds."""
    return float(text[:-1]) * UNITS[text[-1]]


def expand(notation: str) -> list[float | None]:
    """The samples of promtool's notation: `1x2` is 1 1 1, `0+5x2` is 0 5 10, `_x2` no two."""
    values: list[float | None] = []
    for item in notation.split():
        if item.startswith("_x"):
            values += [None] * int(item[2:])
            continue
        start, step, times = re.fullmatch(r"(-?[\d.]+)([-+][\d.]+)?x(\d+)", item).groups()  # type: ignore[union-attr]
        values += [float(start) + float(step or 0) * n for n in range(int(times) + 1)]
    return values


@dataclass(frozen=True)
class Series:
    """One series, sampled once a minute."""

    name: str
    labels: dict[str, str]
    values: list[float | None]

    @classmethod
    def parse(cls, series: str, notation: str) -> Series:
        """`name{label="value"}` with promtool's notation of values."""
        name, _, rest = series.partition("{")
        return cls(name, dict(re.findall(r'(\w+)="([^"]*)"', rest)), expand(notation))

    def between(self, start: float, end: float) -> Samples:
        """The samples after `start` and up to `end`."""
        stamped = ((60.0 * n, value) for n, value in enumerate(self.values))
        return [(t, value) for t, value in stamped if start < t <= end and value is not None]


class Query:
    """One expression; `at` gives its value at a time."""

    def __init__(self, text: str, data: list[Series]) -> None:
        self._tokens = TOKEN.findall(text)
        if "".join(self._tokens) != re.sub(r"\s", "", text):
            raise ValueError(f"cannot read {text!r}")
        self._data = data
        self._place = 0
        self._now = 0.0

    def at(self, when: float) -> Vector:
        """The vector at a time, in seconds."""
        self._place, self._now = 0, when
        value = self._or()
        if self._peek():
            raise ValueError(f"unread: {self._tokens[self._place :]}")
        assert isinstance(value, dict)
        return value

    def _peek(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _take(self, expected: str | None = None) -> str:
        token = self._peek()
        if expected is not None and token != expected:
            raise ValueError(f"expected {expected}, found {token}")
        self._place += 1
        return token

    def _or(self) -> Vector | float:
        left = self._and()
        while self._peek() == "or":
            self._take()
            right = self._and()
            left = {**_vector(right), **_vector(left)}
        return left

    def _and(self) -> Vector | float:
        left = self._comparison()
        while self._peek() == "and":
            self._take()
            right = _vector(self._comparison())
            left = {labels: value for labels, value in _vector(left).items() if labels in right}
        return left

    def _comparison(self) -> Vector | float:
        left = self._division()
        if self._peek() in COMPARISONS:
            holds = COMPARISONS[self._take()]
            limit = self._division()
            left = {
                labels: one
                for labels, one in _vector(left).items()
                if (against := limit if isinstance(limit, float) else limit.get(labels)) is not None
                and holds(one, against)
            }
        return left

    def _division(self) -> Vector | float:
        left = self._primary()
        while self._peek() == "/":
            self._take()
            right = _vector(self._primary())
            left = {
                labels: value / right[labels]
                for labels, value in _vector(left).items()
                if right.get(labels)
            }
        return left

    def _primary(self) -> Vector | float:  # noqa: PLR0911 - one return for each kind
        token = self._take()
        if token == "(":
            inner = self._or()
            self._take(")")
            return inner
        if re.fullmatch(r"[\d.]+", token):
            return float(token)
        if token in AGGREGATES:
            return self._aggregate(token)
        if token in RANGE_FUNCTIONS and self._peek() == "(":
            self._take("(")
            window = self._window()
            self._take(")")
            values = ((one, RANGE_FUNCTIONS[token](samples)) for one, samples in window.items())
            return {labels: value for labels, value in values if value is not None}
        if token == "quantile_over_time":
            self._take("(")
            share = float(self._take())
            self._take(",")
            window = self._window()
            self._take(")")
            return {labels: _share_of(share, samples) for labels, samples in window.items()}
        if token == "histogram_quantile":
            self._take("(")
            share = float(self._take())
            self._take(",")
            buckets = _vector(self._or())
            self._take(")")
            return _quantile(share, buckets)
        if token == "absent":
            self._take("(")
            found = _vector(self._or())
            self._take(")")
            return {} if found else {frozenset(): 1.0}
        return self._instant(token)

    def _aggregate(self, name: str) -> Vector:
        by: list[str] = []
        if self._peek() == "by":
            self._take()
            by = list(self._names())
        self._take("(")
        inner = _vector(self._or())
        self._take(")")
        groups: dict[Labels, list[float]] = {}
        for labels, value in inner.items():
            group = frozenset((key, one) for key, one in labels if key in by)
            groups.setdefault(group, []).append(value)
        return {labels: AGGREGATES[name](values) for labels, values in groups.items()}

    def _names(self) -> Iterator[str]:
        self._take("(")
        while (token := self._take()) != ")":
            if token != ",":
                yield token

    def _selector(self, name: str) -> list[Series]:
        wanted: dict[str, str] = {}  # a pattern for each label
        if self._peek() == "{":
            self._take()
            while (token := self._take()) != "}":
                if token != ",":
                    is_pattern = self._peek() == "=~"
                    self._take("=~" if is_pattern else "=")
                    text = self._take().strip('"')
                    wanted[token] = text if is_pattern else re.escape(text)
        return [
            one
            for one in self._data
            if one.name == name
            and all(re.fullmatch(text, one.labels.get(label, "")) for label, text in wanted.items())
        ]

    def _instant(self, name: str) -> Vector:
        found = {}
        for one in self._selector(name):
            if samples := one.between(self._now - LOOKBACK_S, self._now):
                found[frozenset(one.labels.items())] = samples[-1][1]
        return found

    def _window(self) -> Window:
        """A range selector, or a subquery with steps of one minute."""
        begin = self._place
        if self._peek() in AGGREGATES:
            return self._subquery(begin)
        chosen = self._selector(self._take())
        self._take("[")
        length = seconds(self._take())
        self._take("]")
        return {
            frozenset(one.labels.items()): samples
            for one in chosen
            if (samples := one.between(self._now - length, self._now))
        }

    def _subquery(self, begin: int) -> Window:
        self._or()
        self._take("[")
        length = seconds(self._take())
        self._take(":")
        self._take("1m")
        self._take("]")
        end, now = self._place, self._now
        window: Window = {}
        for step in range(int(length // 60), -1, -1):
            self._place, self._now = begin, now - step * 60
            if self._now < 0:  # no series has begun
                continue
            for labels, value in _vector(self._or()).items():
                window.setdefault(labels, []).append((self._now, value))
        self._place, self._now = end, now
        return window


def _vector(value: Vector | float) -> Vector:
    assert isinstance(value, dict), "a number where a vector is needed"
    return value


def _increase_a_second(samples: Samples) -> float | None:
    if len(samples) < 2:
        return None
    pairs = list(itertools.pairwise(samples))
    grown = sum(b - a if b >= a else b for (_, a), (_, b) in pairs)
    return grown / (samples[-1][0] - samples[0][0])


def _increase(samples: Samples) -> float | None:
    rate = _increase_a_second(samples)
    # The window is open at its start, so a sample less than its length in minutes.
    return None if rate is None else rate * 60 * len(samples)


def _slope(samples: Samples) -> float | None:
    if len(samples) < 2:
        return None
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_v = sum(v for _, v in samples) / len(samples)
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return sum((t - mean_t) * (v - mean_v) for t, v in samples) / spread


def _changes(samples: Samples) -> float | None:
    return float(sum(a != b for (_, a), (_, b) in itertools.pairwise(samples)))


def _share_of(share: float, samples: Samples) -> float:
    """The quantile of the values, between two of them in proportion."""
    values = sorted(value for _, value in samples)
    rank = share * (len(values) - 1)
    below = int(rank)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (rank - below)


def _quantile(share: float, buckets: Vector) -> Vector:
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        limit = float(dict(labels)["le"])
        rest = frozenset(one for one in labels if one[0] != "le")
        groups.setdefault(rest, []).append((limit, count))
    found = {}
    for labels, counts in groups.items():
        counts.sort()
        total = counts[-1][1]
        if not total:
            continue
        below, before = 0.0, 0.0
        for limit, count in counts:
            if count >= share * total:
                part = (share * total - before) / (count - before)
                found[labels] = below if limit == float("inf") else below + (limit - below) * part
                break
            below, before = limit, count
    return found


AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "max": max,
    "count": lambda values: float(len(values)),
}
RANGE_FUNCTIONS: dict[str, Callable[[Samples], float | None]] = {
    "rate": _increase_a_second,
    "increase": _increase,
    "deriv": _slope,
    "changes": _changes,
}
