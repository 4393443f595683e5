"""The web port's pages on further ports, for clients of the two older services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp.web import TCPSite
from faust.web.drivers.aiohttp import Web


class WebOnSeveralPorts(Web):  # type: ignore[misc]  # faust ships no usable hints
    """Faust's web server, listening on ``more_ports`` as well."""

    def __init__(self, app: Any, more_ports: Sequence[int], **options: Any) -> None:
        super().__init__(app, **options)
        self._more_ports = more_ports

    async def start_server(self) -> None:
        """Start listening on all ports."""
        await super().start_server()
        for port in self._more_ports:
            if port != self.app.conf.web_port:
                await TCPSite(self._runner, self.app.conf.web_bind, port).start()
