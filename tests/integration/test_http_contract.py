"""The OpenAPI document against a real worker: generated requests, right and wrong ones.

schemathesis makes the requests; where a picture belongs, the right ones carry a real one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from streams.local.worker_process import WorkerProcess
from streams.web.openapi import PICTURE, openapi_document
from tests.integration.http_client import text_of
from tests.integration.stack import Stack
from tools.pictures import encoded, portrait

#: Requests of each page that are generated at random, beside those at the edges of the document.
EXAMPLES = 20

CHECKS = {
    # Whether base64 is a picture, and whether a face is in it, is beyond a schema.
    "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "422"]},
    # The models are loaded and nobody else is there: 503 would be a fault here.
    "not_a_server_error": {"expected-statuses": ["2xx", "4xx"]},
}


def _small(picture: Image.Image) -> str:
    picture.thumbnail((160, 160))
    return text_of(encoded(picture, "JPEG"))


schemathesis.openapi.format(
    PICTURE["format"],
    st.sampled_from([_small(portrait()), _small(Image.new("RGB", (64, 64), "skyblue"))]),
)


def _with_pictures() -> dict[str, Any]:
    """The document without the pattern of base64, which would win over the format of a picture."""
    document = openapi_document()
    for component in document["components"]["schemas"].values():
        image = component.get("properties", {}).get("image", {})
        image.pop("pattern", None)
        image.pop("minLength", None)
    return document


#: The older name of /api/score is the same page.
OLDER_NAME = "/api/attractiveness/score"

schema = schemathesis.openapi.from_dict(
    _with_pictures(), config=SchemathesisConfig.from_dict({"checks": CHECKS})
).exclude(path=OLDER_NAME)


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Iterator[WorkerProcess]:
    with stack.worker(HTTP_SCORE_TIMEOUT_MS="20000") as running:
        yield running


@pytest.mark.timeout(400)  # a hundred events, each of which takes the embedded broker a second
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_the_worker_keeps_the_document(case: schemathesis.Case[Any], worker: WorkerProcess) -> None:
    """Statuses, bodies and headers are those of the document, and no wrong request is taken."""
    case.call_and_validate(base_url=worker.url)


@pytest.mark.parametrize("path", ["/api/detect-face", "/api/extract-embedding", "/api/score"])
def test_right_requests_are_answered(path: str, worker: WorkerProcess) -> None:
    """A run of refusals alone would show little: of requests with a picture, some are answered."""
    answered: Counter[int] = Counter()

    @given(case=schema[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE))
    @settings(
        max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def ask(case: schemathesis.Case[Any]) -> None:
        answered[case.call_and_validate(base_url=worker.url).status_code] += 1

    ask()
    assert answered[200]
    assert set(answered) <= {200, 422}
