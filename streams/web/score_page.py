"""``/api/score``, for apps that cannot speak Kafka: an event and its answer in one request."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web
from pydantic_core import from_json, to_json

from schemas.codec import decode_image_submitted, encode_scored_face
from schemas.http_api import ScorePending
from schemas.image_submitted import ImageSubmitted
from schemas.scored_face import ScoredFace
from streams.engine.publishing import PublishingFailed, UnpublishableMessage
from streams.errors import Abandoned, Busy
from streams.kafka.answer_follower import Awaited, FollowingFailed, NotScored
from streams.kafka.topics import topic_names
from streams.runtime import Runtime
from streams.web.admission import REQUESTS_PER_THREAD, Admission, Intake
from streams.web.answers import JSON_TYPE, record_answer
from streams.web.failures import Refusal
from streams.web.request_body import read_body
from streams.web.request_reply import RequestReply


class ScorePage:
    """Publishes image-submitted, waits for its scored-face, and answers with that."""

    def __init__(self, runtime: Runtime, intake: Intake) -> None:
        self._settings = runtime.settings
        self._intake = intake
        # Requests that wait for an answer hold no picture, so they have a cap of their own.
        self._waiting = Admission(max_requests=REQUESTS_PER_THREAD * runtime.settings.threads)
        self._request_reply = RequestReply(
            topic_names(runtime.settings).image_submitted, runtime.publisher, runtime.answers
        )

    async def post(self, request: web.Request) -> web.Response:
        """Answer 200 with the faces, or 202 if they take longer than HTTP_SCORE_TIMEOUT_MS."""
        with self._waiting.admit():
            with self._intake.admit(request):
                awaited, deadline = await self._submit(request)
            try:
                faces = await self._request_reply.answer(awaited, deadline)
            except NotScored as error:
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"not scored: {error}") from None
            except FollowingFailed:
                faces = None  # the event is published, and will be answered
        if faces is None:
            return record_answer(_pending(awaited), HTTPStatus.ACCEPTED)
        return self._scored(faces)

    async def _submit(self, request: web.Request) -> tuple[Awaited, float]:
        """Publish the event of a request; return it with the end of the wait, on the loop's clock.

        Raises ``Refusal``, ``InvalidEvent`` or ``Busy``.
        """
        event = await self._read(request)
        wait_s = self._settings.http_score_timeout_ms / 1000
        deadline = asyncio.get_running_loop().time() + wait_s
        try:
            async with asyncio.timeout_at(deadline):
                trace = request.headers.get("traceparent")
                return await self._request_reply.submit(event, trace), deadline
        except UnpublishableMessage as error:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from None
        except TimeoutError:
            raise Busy("the broker did not take the event in time; try again soon") from None
        except (FollowingFailed, PublishingFailed, Abandoned) as error:
            raise Busy(str(error) or "this worker's partitions are moving; try again") from None

    async def _read(self, request: web.Request) -> ImageSubmitted:
        """Read the event in a request. Raises ``Refusal`` or ``InvalidEvent``."""
        body = await read_body(request, self._settings)
        # An event without an id gets one derived from the bytes of its body, so the same request
        # sent again is the same event.
        event = decode_image_submitted(body, None, ())
        if event.image is not None and len(event.image) > self._settings.max_image_bytes:
            limit = f"{self._settings.max_image_bytes:,} bytes (MAX_IMAGE_BYTES)"
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the picture has {len(event.image):,} bytes, the limit is {limit}",
            )
        return event

    def _scored(self, faces: tuple[ScoredFace, ...]) -> web.Response:
        legacy = self._settings.result_format == "legacy"
        first, *others = (from_json(encode_scored_face(face, legacy=legacy)) for face in faces)
        answer = {
            "success": True,
            "event_id": first["event_id"],
            "data": first,
            "other_faces": others,
        }
        return web.Response(body=to_json(answer), content_type=JSON_TYPE, charset="utf-8")


def _pending(awaited: Awaited) -> ScorePending:
    return ScorePending(
        event_id=str(awaited.event_id),
        message="not scored yet; the answer is published to scored-face, and returned when this "
        "request is sent again",
    )
