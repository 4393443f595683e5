"""Scoring over HTTP, for apps that cannot speak Kafka: the event and its answer in one call."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic_core import from_json, to_json

from schemas.codec import decode_image_submitted, encode_scored_face
from schemas.http_api import ScorePending
from schemas.scored_face import ScoredFace
from streams.app import app
from streams.engine.publishing import PublishingFailed, UnpublishableMessage
from streams.errors import Abandoned, Busy
from streams.kafka.answer_follower import Awaited, FollowingFailed, NotScored
from streams.kafka.topics import topic_names
from streams.web.admission import Admission
from streams.web.api_view import ApiView, admitted
from streams.web.requests import JSON_TYPE, Refusal, read_body
from streams.web.score_bridge import ScoreBridge

runtime = app.runtime
bridge = ScoreBridge(
    topic_names(app.settings).image_submitted, runtime.publisher.publish, runtime.answers
)
#: Who waits for an answer holds no picture, so this is counted apart.
waiting = Admission(max_requests=app.settings.http_pending)


class ScoreView(ApiView):
    """Publishes image-submitted, waits for its scored-face, and answers with that."""

    async def post(self, request: Any) -> Any:
        """200 with the faces, or 202 when they take longer."""
        with waiting.admit():
            with admitted(request):
                awaited, deadline = await _submit(request)
            try:
                faces = await bridge.answer(awaited, deadline)
            except NotScored as error:
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"not scored: {error}") from None
            except FollowingFailed:
                faces = None  # the event is published all the same, and will be answered
        if faces is None:
            return self.answer(_pending(awaited), HTTPStatus.ACCEPTED)
        return _scored(faces)


@app.page("/api/score")
class Score(ScoreView):
    """The page's name here."""


@app.page("/api/attractiveness/score")
class AttractivenessScore(ScoreView):
    """The page's name in the older app."""


async def _submit(request: web.Request) -> tuple[Awaited, float]:
    """Publish the event in a request; also until when, on the loop's clock, to wait for it."""
    body = await read_body(request, app.settings)
    # The body is an event: the id that is derived where it has none is that of its bytes, so that
    # the same request again is the same event.
    event = decode_image_submitted(body, None, ())
    if event.image is not None and len(event.image) > app.settings.max_image_bytes:
        limit = f"{app.settings.max_image_bytes:,} bytes (MAX_IMAGE_BYTES)"
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the picture has {len(event.image):,} bytes, the limit is {limit}",
        )
    wait_s = app.settings.http_score_timeout_ms / 1000
    deadline = asyncio.get_running_loop().time() + wait_s
    try:
        async with asyncio.timeout_at(deadline):
            awaited = await bridge.submit(event, request.headers.get("traceparent"))
            return awaited, deadline
    except UnpublishableMessage as error:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from None
    except TimeoutError:
        raise Busy("the broker did not take the event in time; try again soon") from None
    except (FollowingFailed, PublishingFailed, Abandoned) as error:
        raise Busy(str(error) or "this worker is busy with its partitions; try again") from None


def _pending(awaited: Awaited) -> ScorePending:
    return ScorePending(
        event_id=str(awaited.event_id),
        message="not scored yet; its answer comes on scored-face, or to this request sent again",
    )


def _scored(faces: tuple[ScoredFace, ...]) -> web.Response:
    legacy = app.settings.result_format == "legacy"
    first, *others = (from_json(encode_scored_face(face, legacy=legacy)) for face in faces)
    answer = {"success": True, "event_id": first["event_id"], "data": first, "other_faces": others}
    return web.Response(body=to_json(answer), content_type=JSON_TYPE, charset="utf-8")
