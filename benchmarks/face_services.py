"""The older plan's design: detection and embedding as two HTTP services, called in turn.

``python -m benchmarks.face_services detect|embed`` serves one of them, ``consume`` is the consumer.
As in the plan, each gets the whole picture as base64 JSON with ``aligned: false``, so the second
detects the face again. Both run OpenCV's classes with one thread per core.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import httpx
import numpy as np
from aiohttp import web
from cv2.typing import MatLike

from benchmarks.opencv_consumer import OpenCvScorer
from benchmarks.plain_consumer import FoundFace, consume, consumer_arguments

LARGEST = 32 * 2**20
TIMEOUT_S = 30.0


def serve(options: argparse.Namespace) -> None:
    """Serve until killed."""
    scorer = OpenCvScorer(options.detector, options.embedder, side=0)
    work = _detect if options.role == "detect" else _embed
    pool = ThreadPoolExecutor(os.cpu_count())
    cv2.setNumThreads(1)

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        found = await asyncio.get_running_loop().run_in_executor(pool, work, scorer, body)
        return web.json_response({"success": True, **found})

    app = web.Application(client_max_size=LARGEST)
    app.router.add_post("/api/detect-face", answer)
    app.router.add_post("/api/extract-embedding", answer)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, access_log=None)


def _detect(scorer: OpenCvScorer, body: dict[str, Any]) -> dict[str, Any]:
    found = scorer.detect(_pixels(body))
    return {"faces": [{"bounding_box": face[:4].tolist()} for face in found]}


def _embed(scorer: OpenCvScorer, body: dict[str, Any]) -> dict[str, Any]:
    pixels = _pixels(body)
    return {"embedding": scorer.embed(pixels, scorer.detect(pixels)[0])}


def _pixels(body: dict[str, Any]) -> MatLike:
    data = np.frombuffer(base64.b64decode(body["image"]), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("not a picture")
    return pixels


def call_services(options: argparse.Namespace) -> None:
    """Consume until killed; like the plan's worker, use the first face."""
    client = httpx.Client(timeout=TIMEOUT_S)

    def post(url: str, **body: object) -> Any:
        return client.post(url, json=body).raise_for_status().json()

    def score(image: bytes, _: int) -> list[FoundFace]:
        text = base64.b64encode(image).decode()
        faces = post(f"{options.detect}/api/detect-face", image=text)["faces"]
        if not faces:
            return []
        embedded = post(f"{options.embed}/api/extract-embedding", image=text, aligned=False)
        box = faces[0]["bounding_box"]
        return [{"bounding_box": box, "embedding": embedded["embedding"]}]

    consume(options, score)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    for role in ("detect", "embed"):
        service = roles.add_parser(role)
        service.add_argument("--port", type=int, required=True)
        service.add_argument("--detector", required=True, help="YuNet's file")
        service.add_argument("--embedder", required=True, help="SFace's file")
    consumer = roles.add_parser("consume")
    consumer_arguments(consumer)
    consumer.add_argument("--detect", required=True, help="URL")
    consumer.add_argument("--embed", required=True, help="URL")
    options = parser.parse_args()
    if options.role == "consume":
        call_services(options)
    else:
        serve(options)


if __name__ == "__main__":
    main()
