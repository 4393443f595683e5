"""The source of an event's picture: the event itself, or the place its claim check names."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from schemas.image_submitted import ImageSubmitted
from streams.pictures.errors import ImageTimeout, ImageUnavailable
from streams.pictures.memory_budget import PictureBudget
from streams.scoring.reasons import WrongDigest
from streams.scoring.retries import Retries
from streams.telemetry.handling import Handling


class Store(Protocol):
    """Fetches pictures by URI."""

    async def fetch(self, uri: str) -> bytes:
        """Return the picture's bytes. Raises ``ImageStoreError``."""


class PictureSource:
    """Gives the bytes of an event's picture, checked against the promised digest."""

    def __init__(
        self,
        store: Store,
        retries: Retries,
        *,
        budget_bytes: int,
        largest_bytes: int,
        is_leaving: Callable[[], bool],
    ) -> None:
        """``budget_bytes``: all fetched pictures together; ``largest_bytes``: one of them."""
        self._store = store
        self._retries = retries
        self._budget = PictureBudget(
            total=budget_bytes, largest=largest_bytes, is_leaving=is_leaving
        )

    @asynccontextmanager
    async def picture_of(self, event: ImageSubmitted, handling: Handling) -> AsyncIterator[bytes]:
        """Give the picture's bytes. A fetched picture counts against the budget for the block.

        Raises ``ImageStoreError``, or ``Abandoned`` when the worker is leaving while this waits.
        """
        if event.image is not None:
            _check_digest(event, event.image)
            yield event.image
            return
        async with self._budget.reserved() as reservation:
            with handling.timed("fetch"):
                image = await self._fetch(str(event.image_uri), handling)
            reservation.shrink(len(image))
            _check_digest(event, image)
            yield image

    async def _fetch(self, uri: str, handling: Handling) -> bytes:
        async def attempt(number: int) -> bytes:
            handling.attempts = number
            try:
                return await self._store.fetch(uri)
            except ImageTimeout:
                handling.timeout("fetch")
                raise

        return await self._retries.run("fetch", attempt, (ImageUnavailable,), handling)


def _check_digest(event: ImageSubmitted, image: bytes) -> None:
    """Raise ``WrongDigest`` where the event promises another picture."""
    if event.image_sha256 is None:
        return
    actual = hashlib.sha256(image).hexdigest()
    if actual != event.image_sha256.lower():
        raise WrongDigest(event.image_sha256.lower(), actual, inline=event.image is not None)
