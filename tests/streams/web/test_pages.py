"""The pages of the web port, as the app serves them."""

from __future__ import annotations

from aiohttp import web

from streams.app import create_app
from streams.config.settings import load_settings


async def test_the_app_has_every_page() -> None:
    """With its methods. Faust adds its own page at / when the server starts."""
    application: web.Application = create_app(load_settings()).web.web_app
    pages: dict[str, list[str]] = {}
    for route in application.router.routes():
        assert route.resource is not None
        pages.setdefault(route.resource.canonical, []).append(route.method)
    assert pages == {
        "/health/live": ["HEAD", "GET"],
        "/health/ready": ["HEAD", "GET"],
        "/metrics": ["HEAD", "GET"],
        "/index": ["HEAD", "GET"],
        "/index/faces/{face_id}": ["HEAD", "GET"],
        "/index/search": ["POST"],
        "/api/detect-face": ["POST"],
        "/api/extract-embedding": ["POST"],
        "/api/score": ["POST"],
        "/api/attractiveness/score": ["POST"],
        "/api/health": ["HEAD", "GET"],
        "/api/ml-status": ["HEAD", "GET"],
        "/api/openapi.json": ["HEAD", "GET"],
    }
