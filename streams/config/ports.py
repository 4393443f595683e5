"""Checks that a port of this machine is free."""

from __future__ import annotations

import errno
import socket

from streams.errors import StartupError


def port_is_taken(host: str, port: int) -> bool:
    """Whether another process listens on ``host:port``.

    Raises ``StartupError`` when the address cannot be bound for another reason.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise StartupError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; see WEB_HOST and PORT"
            ) from None
    return False
