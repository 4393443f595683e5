"""A local file server that can fail in the usual ways."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = random.Random(1).randbytes(900_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class FileServer:
    """Serves ``content``.

    ``cuts``: the bytes after which the next answers break off. ``statuses``: the statuses of the
    next answers, which are errors instead of the file.
    """

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    knows_ranges: bool = True
    pause_s: float = 0.0
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""

    def send(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        if request.path == "/elsewhere":
            request.send_response(302)
            request.send_header("Location", "/weights.onnx")
            request.end_headers()
            return
        if self.statuses:
            request.send_error(self.statuses.pop(0))
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(self.content):
            request.send_error(416)
            return
        body = self.content[start:] if self.knows_ranges else self.content
        partial_answer = bool(asked) and self.knows_ranges
        request.send_response(206 if partial_answer else 200)
        if partial_answer:
            last = len(self.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.cuts:
            body = body[: self.cuts.pop(0)]
        for at in range(0, len(body), 100_000):
            request.wfile.write(body[at : at + 100_000])
            if self.pause_s:
                time.sleep(self.pause_s)  # makes the server slow; no test waits by it


@contextmanager
def running_file_server() -> Iterator[FileServer]:
    """Serve on a free port of loopback."""
    files = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.send(self)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    files.url = f"http://127.0.0.1:{http.server_port}/weights.onnx"
    yield files
    http.shutdown()
    http.server_close()
