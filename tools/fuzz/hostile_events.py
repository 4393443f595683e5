"""Hostile messages of image-submitted, which the project's own clients never send."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from hypothesis import strategies as st

from schemas.fallback import FallbackHeaders
from schemas.headers import Header
from schemas.json_schema import image_submitted_schema
from schemas.scored_face import ScoredFace
from streams.messages import Incoming
from tools.example_messages import example
from tools.fuzz.hostile_pictures import Recipe

#: Names that the codec reads: fields of the JSON mode, and headers.
FIELDS = sorted(image_submitted_schema()["properties"])
HEADER_NAMES = [
    *("content-type", "Content-Type", "ce_id", "ce_time", "event_id", "user_id", "image_sha256"),
    *("submitted_at", "use_real_ml", "min_confidence", "max_faces", "metadata", "traceparent"),
    *FallbackHeaders.model_fields,
]
#: Around and beyond the nesting limits of the parser and of metadata.
DEPTHS = (50, 99, 100, 101, 150, 199, 200, 201, 1000, 50_000)
MAX_HEADER = 1 << 20
MAX_KEY = 1 << 20
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True, slots=True)
class Message:
    """A message as any producer may publish it."""

    value: bytes | None
    key: bytes | None
    headers: tuple[Header, ...]

    def incoming(self) -> Incoming:
        """Return the message as the worker receives it."""
        return Incoming(
            topic="image-submitted",
            partition=3,
            offset=41,
            key=self.key,
            value=self.value,
            headers=self.headers,
            timestamp=0.0,
        )


def nested(depth: int, shape: int) -> str:
    """Return JSON nested ``depth`` levels deep: arrays, objects, or both alternating."""
    opened = ("[", '{"a":', '[{"a":')[shape % 3]
    closed = ("]", "}", "}]")[shape % 3]
    return opened * depth + "1" + closed * depth


# Tokens, not values: no JSON library writes most of these.
tokens = st.sampled_from(
    [
        *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1E-400", "-0", "-0.0", "01", "1."),
        *("null", "true", "[]", "{}", '""', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"'),
        *('"\x00"', '"\\u202e"', '"\\u0085"', '"a\\nb"', '"\\u2028"', '"\ufeff"', "'a'", "//"),
        *("9" * 5000, "1e309", "0." + "3" * 5000, '"' + "x" * 5000 + '"', '"%00"', "0x10"),
        *('"2024-05-01T12:00:00Z"', '"9999-12-31T23:59-14:00"', '"0001-01-01T00:00+14:00"'),
        *('"YQ=="', '"data:,"', '"data:image/png;base64,"', '"3f2b8c1e9c1d4f5e8a440c9f6f3f7a10"'),
        *("1714564800000", "-62135596800001", "253402300800000", "1e18", "0.7", "64", "65"),
    ]
)
deep = st.builds(nested, st.sampled_from(DEPTHS), st.integers(0, 2))
json_values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
texts = tokens | deep | json_values.map(json.dumps)
field_names = st.sampled_from(FIELDS) | st.text(max_size=300)


def _object(fields: list[tuple[str, str]]) -> bytes:
    # Not a dictionary, as JSON allows a name twice.
    inside = ",".join(f"{json.dumps(name)}:{text}" for name, text in fields)
    return ("{" + inside + "}").encode(errors="surrogatepass")


_VALID = [("user_id", '"user-1"'), ("image_base64", '"YQ=="')]
objects = st.builds(
    lambda valid, fields: _object([*(_VALID if valid else ()), *fields]),
    st.booleans(),
    st.lists(st.tuples(field_names, texts), max_size=6),
)
keys = (
    st.none()
    | st.binary(max_size=16)
    | st.sampled_from([b"user-1", b"", b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"a" * 300])
    | st.sampled_from(["a\nb", "a\x7f", "\u0085", "\u202euser", "\x1b[2J"]).map(str.encode)
    | st.builds(lambda n, byte: bytes([byte]) * n, st.integers(0, MAX_KEY), st.integers(0, 255))
)
header_values = (
    st.none()
    | st.binary(max_size=32)
    | st.sampled_from([b"image/png", b"IMAGE/jpeg; q=1", b"application/json", b"\xff" * 20])
    | texts.map(lambda text: text.encode(errors="surrogatepass"))
    | st.builds(lambda n, byte: bytes([byte]) * n, st.integers(0, MAX_HEADER), st.integers(0, 9))
)
headers = st.lists(
    st.tuples(st.sampled_from(HEADER_NAMES) | st.text(max_size=8), header_values), max_size=8
).map(tuple)
# Answers carry the trace of their event: here a valid one with a state of any size.
traces = st.builds(
    lambda n: (("traceparent", TRACE), ("tracestate", b"a=" + b"x" * n)),
    st.integers(0, MAX_HEADER),
)
messages = st.builds(
    Message,
    value=st.none() | st.binary(max_size=64) | objects | texts.map(lambda text: text.encode()),
    key=keys,
    headers=headers | traces,
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw a valid value with some bytes replaced or removed."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=4))
    return bytes(data)


@st.composite
def almost_scored_faces(draw: st.DrawFn) -> bytes:
    """Draw a scored-face value in which some fields have any value."""
    whole = example("scored-face/v1/real").value or b""
    fields = {name: json.dumps(value) for name, value in json.loads(whole).items()}
    for name in draw(st.lists(st.sampled_from(list(ScoredFace.model_fields)), max_size=3)):
        fields[name] = draw(texts)
    return _object(list(fields.items()))


def with_trace(message: Message, trace: tuple[Header, ...]) -> Message:
    """Return the message with the headers of a trace."""
    return Message(message.value, message.key, (*message.headers, *trace))


def with_picture(recipe: Recipe, fields: list[tuple[str, str]], *, binary: bool) -> Message:
    """Return a message that carries a picture, in either content mode."""
    picture = recipe.cook()
    if binary:
        sent = [(name, text.strip('"').encode(errors="replace")) for name, text in fields]
        return Message(picture, b"user-1", (("content-type", b"image/jpeg"), *sent))
    text = base64.b64encode(picture).decode()
    value = _object([("user_id", '"user-1"'), ("image_base64", f'"{text}"'), *fields])
    return Message(value, None, ())


def with_uri(uri: str, fields: list[tuple[str, str]]) -> Message:
    """Return a message with a claim check."""
    value = _object([("user_id", '"user-1"'), ("image_uri", json.dumps(uri)), *fields])
    return Message(value, None, ())
