"""The whole handler on real models: an event becomes answers, or one dead letter."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import strategies as st

from models.pipeline import FacePipeline
from schemas.binary_event import is_binary
from schemas.codec import decode_image_submitted, decode_scored_face, identify
from schemas.errors import InvalidEvent
from schemas.fallback import FallbackHeaders, with_failure, without_failure
from streams.config.settings import Settings, load_settings
from streams.dead_letters import LARGEST_KEPT_KEY, without_value
from streams.engine.publishing import UnpublishableMessage
from streams.inference.circuit import Circuit
from streams.inference.model_loading import load_models
from streams.inference.pool import InferencePool
from streams.kafka.topics import HEADER_ROOM, largest_message, topic_names
from streams.messages import Incoming, Outgoing
from streams.pictures.picture_store import PictureStore
from streams.scoring.handler import ScoringHandler
from streams.scoring.scorer import Scorer
from streams.scoring.shadow import ShadowScorer
from streams.scoring.simulated_answers import SimulatedAnswers
from streams.telemetry.handling import Handling
from streams.telemetry.metrics import Metrics
from tools.fuzz.hostile_events import (
    Message,
    messages,
    texts,
    traces,
    with_picture,
    with_trace,
    with_uri,
)
from tools.fuzz.hostile_pictures import recipes
from tools.fuzz.hostile_uris import allowed_prefixes, uris
from tools.fuzz.leaks import LogLines, captured_log, leaked_picture, leaked_secret
from tools.fuzz.places import (
    MAX_IMAGE_BYTES,
    SECRET,
    Folders,
    PictureSite,
    canary,
    canary_digest,
    make_folders,
    resolve,
)

TIMEOUT_S = 60.0
#: The smallest value of the setting, so that many events exceed the limits of the topics.
MAX_MESSAGE_BYTES = 64 * 1024
#: Bytes of an answer's headers, whatever headers its event has.
LARGEST_HEADERS = 2048
PASSWORDS = ("kafka-pass-Rw8hJ2pQ", "qdrant-key-Ty5mK4dF", "api-token-Bn2vC6xZ")

# Half of the events are otherwise valid, so that their pictures are decoded.
_fields: st.SearchStrategy[list[tuple[str, str]]] = st.just([]) | st.lists(
    st.tuples(
        st.sampled_from(["max_faces", "min_confidence", "use_real_ml", "metadata", "event_id"]),
        texts,
    ),
    max_size=2,
)


@dataclass
class RecordingPublisher:
    """Keeps published messages; refuses a message that is larger than its topic accepts."""

    largest: Callable[[str], int]
    """Topic name to the size of its largest message, in bytes."""
    published: list[Outgoing] = field(default_factory=list)

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish all of the messages. Raises ``UnpublishableMessage`` when one is too large."""
        for message in messages:
            if message.size > self.largest(message.topic):
                raise UnpublishableMessage(f"{message.size} bytes for {message.topic}")
        self.published.extend(messages)


@dataclass
class Handler:
    """The scoring handler and simulated answers as in the worker, without a broker."""

    scoring: ScoringHandler
    simulated: SimulatedAnswers
    fallback_topic: str
    folders: Folders
    site: PictureSite
    log: LogLines
    runner: asyncio.Runner
    publisher: RecordingPublisher
    outcomes: Counter[str] = field(default_factory=Counter)
    """Number of events by outcome: "real", or the reason of the dead letter."""

    @property
    def inputs(self) -> st.SearchStrategy[Message]:
        """Hostile events, damaged pictures and claim checks."""
        pictures = st.builds(with_picture, recipes, _fields, binary=st.booleans())
        claims = st.builds(with_uri, uris(self.folders, self.site.port), _fields)
        return messages | st.builds(with_trace, pictures | claims, st.just(()) | traces)

    def check(self, message: Message) -> int:
        """Check one message. Raises what the handler should not."""
        self.runner.run(self._handle(message.incoming()))
        return 1

    async def _handle(self, event: Incoming) -> None:
        self.log.clear()
        self.site.trespasses.clear()
        self.publisher.published.clear()
        async with asyncio.timeout(TIMEOUT_S):
            await self.scoring.handle(event)
        published = list(self.publisher.published)
        assert published
        if published[0].topic == self.fallback_topic:
            await self._check_dead_letter(event, published)
        else:
            self._check_faces(event, published)
        self._check_secrecy(event)

    def _check_faces(self, event: Incoming, answers: list[Outgoing]) -> None:
        self.outcomes["real"] += 1
        record = decode_image_submitted(event.value, event.key, event.headers)
        faces = [decode_scored_face(answer.value) for answer in answers]
        assert [face.face_index for face in faces] == list(range(faces[0].face_count))
        for face, answer in zip(faces, answers, strict=True):
            assert (face.event_id, face.user_id) == (record.event_id, record.user_id)
            assert face.provenance == "real"
            assert answer.key == record.user_id.encode()
            _check_headers(answer)

    async def _check_dead_letter(self, event: Incoming, published: list[Outgoing]) -> None:
        (kept,) = published
        failure = FallbackHeaders.from_headers(kept.headers)
        self.outcomes[failure.fallback_reason.value] += 1
        if "left at its source" in failure.fallback_detail:
            self.outcomes["left at its source"] += 1
            headers = with_failure(event.headers, failure)
            whole = Outgoing(self.fallback_topic, event.key, event.value, headers)
            assert whole.size > self.publisher.largest(whole.topic)
            assert kept.key == (event.key if len(event.key or b"") <= LARGEST_KEPT_KEY else None)
            assert kept.value == b""
            assert not without_failure(kept.headers)
        else:
            empty = b"" if event.key is None and event.value is None else event.value
            assert (kept.key, kept.value) == (event.key, empty)
            assert without_failure(kept.headers) == without_failure(event.headers)
        # A dead letter without its value must fit every topic, whether it is needed or not.
        assert without_value(kept, event).size < HEADER_ROOM
        await self._check_simulated(kept)

    async def _check_simulated(self, letter: Outgoing) -> None:
        message = Message(letter.value, letter.key, tuple(letter.headers))
        dead = replace(message.incoming(), topic=self.fallback_topic)
        answers = self.simulated.answers(dead, Handling(dead, Metrics()))
        identity = identify(dead.value, dead.key, dead.headers)
        assert len(answers) == (identity is not None)
        for answer in answers:
            face = decode_scored_face(answer.value)
            assert identity is not None
            assert (face.event_id, face.user_id) == (identity.event_id, identity.user_id)
            assert face.provenance == "simulated"
            assert face.metadata == identity.metadata
            _check_headers(answer)
        # Metadata may be too large for an answer; the agent publishes none then.
        with suppress(UnpublishableMessage):
            await self.publisher.publish(answers)

    def _check_secrecy(self, event: Incoming) -> None:
        assert not self.site.trespasses, self.site.trespasses
        # Models may raise only their own errors; the pool logs any other.
        assert "scoring raised an unexpected error" not in self.log.events
        shown = self.log.lines
        digest = canary_digest()
        for answer in self.publisher.published:
            assert digest.encode() not in (answer.value or b"")
            assert not any(digest.encode() in (value or b"") for _, value in answer.headers)
        assert leaked_secret(shown, (SECRET, digest, *PASSWORDS)) is None
        assert leaked_picture(shown, canary()) is None
        if picture := _picture_in(event):
            assert leaked_picture(shown, picture) is None


def _check_headers(answer: Outgoing) -> None:
    """Check that headers copied from an event stay small."""
    bare = replace(answer, key=None, value=None)
    assert bare.size < LARGEST_HEADERS


def _picture_in(event: Incoming) -> bytes | None:
    try:
        return decode_image_submitted(event.value, event.key, event.headers).image
    except InvalidEvent:
        # A binary event is its picture; in a refused JSON event none can be found.
        return event.value if is_binary(event.headers) else None


@contextmanager
def handler(pipeline: FacePipeline, base: Path) -> Iterator[Handler]:
    """Yield a handler on real models, folders below ``base`` and a picture server."""
    folders, site = make_folders(base), PictureSite()
    with asyncio.Runner() as runner, captured_log() as log:
        runner.run(site.start())
        settings = _settings(folders, site.port)
        topics = topic_names(settings)
        images = PictureStore(
            settings.image_uri_allow, MAX_IMAGE_BYTES, timeout_s=10.0, resolve=resolve
        )
        pool = InferencePool(lambda: pipeline, threads=1, timeout_s=TIMEOUT_S)
        runner.run(pool.start())
        publisher = RecordingPublisher(lambda topic: largest_message(settings, topic))
        dimension = pipeline.embedder.dimension
        try:
            yield Handler(
                _scoring(settings, pool, images, publisher),
                SimulatedAnswers(topics, enabled=True, embedding_size=dimension),
                topics.simulated_fallback,
                *(folders, site, log, runner, publisher),
            )
        finally:
            runner.run(pool.stop())
            runner.run(images.close())
            runner.run(site.stop())


def _settings(folders: Folders, port: int) -> Settings:
    """Return settings with secrets, few retries and the smallest messages."""
    return load_settings(
        ml_attempts=2,
        ml_backoff_ms=0,
        max_image_bytes=MAX_IMAGE_BYTES,
        kafka_max_message_bytes=MAX_MESSAGE_BYTES,
        image_uri_allow=allowed_prefixes(folders, port),
        kafka_bootstrap_servers="kafka.test:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="worker",
        kafka_sasl_password=PASSWORDS[0],
        qdrant_url="https://qdrant.test",
        qdrant_api_key=PASSWORDS[1],
        api_token=PASSWORDS[2],
    )


def _scoring(
    settings: Settings, pool: InferencePool, images: PictureStore, publisher: RecordingPublisher
) -> ScoringHandler:
    topics = topic_names(settings)
    circuit = Circuit(threshold=0, window=1, minimum=1)
    scorer = Scorer(settings, pool, images, circuit=circuit, is_leaving=lambda: False)
    shadow = ShadowScorer(
        topics.shadow_scored,
        pool,
        scorer.pictures,
        circuit=circuit,
        is_leaving=lambda: False,
    )
    return ScoringHandler(
        scorer,
        shadow,
        publisher.publish,
        fallback_topic=topics.simulated_fallback,
        metrics=Metrics(),
    )


def loaded_pipeline(cache: Path) -> FacePipeline:
    """Return the real models, with their prepared graphs in ``cache``."""
    return load_models(load_settings(model_cache=cache))
