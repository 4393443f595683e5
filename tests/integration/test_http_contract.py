"""The worker conforms to its OpenAPI document, for valid and invalid generated requests.

schemathesis generates the requests; valid ones contain a real picture.
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

#: Random requests per page, in addition to those at the limits of the document.
EXAMPLES = 20

CHECKS = {
    # A schema cannot express that base64 is a picture, or that it has a face.
    "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "422"]},
    # The models are loaded and there are no other clients, so 503 would be a bug.
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
    """Drop the pattern of base64, which would override the generator of pictures."""
    document = openapi_document()
    for component in document["components"]["schemas"].values():
        image = component.get("properties", {}).get("image", {})
        image.pop("pattern", None)
        image.pop("minLength", None)
    return document


#: An alias of ``/api/score``.
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
def test_the_worker_conforms_to_the_document(
    case: schemathesis.Case[Any], worker: WorkerProcess
) -> None:
    """Statuses, bodies and headers match, and invalid requests are refused."""
    case.call_and_validate(base_url=worker.url)


def has_integral_float(value: object) -> bool:
    """Whether JSON holds a number like 13.0: an integer to JSON Schema, and not to the worker."""
    if isinstance(value, dict):
        return any(has_integral_float(one) for one in value.values())
    if isinstance(value, list):
        return any(has_integral_float(one) for one in value)
    return isinstance(value, float) and value.is_integer()


@pytest.mark.parametrize("path", ["/api/detect-face", "/api/extract-embedding", "/api/score"])
def test_valid_requests_are_answered(path: str, worker: WorkerProcess) -> None:
    """At least one succeeds, so the test above does not see refusals only."""
    answered: Counter[int] = Counter()
    valid = schema[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE)

    @given(case=valid.filter(lambda case: not has_integral_float(case.body)))
    @settings(
        max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def send(case: schemathesis.Case[Any]) -> None:
        answered[case.call_and_validate(base_url=worker.url).status_code] += 1

    send()
    assert answered[200]
    assert set(answered) <= {200, 422}
