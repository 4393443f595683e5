"""A TCP proxy between workers and broker that cuts, delays and refuses on demand.

From Kafka's frames it reads the client id of a connection's first request, and the topics of
produce requests. Responses keep the order of their requests, as the protocol demands: a refusal
is sent after the responses to earlier requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.protocol import produce
from aiokafka.protocol.api import RequestHeader_v1

#: The client id of the suite's own clients, which no fault applies to.
SPARED_CLIENT_ID = "chaos-suite"

PRODUCE = 0
_MAX_FRAME = 64 * 1024 * 1024
_HEADER = struct.Struct(">hhi")  # api key, api version, correlation id


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that answers produce requests for a topic in the broker's place.

    The broker receives no part of such a request, so all its partitions are refused.
    """

    topic: str
    error_code: int

    def answer_to(self, frame: bytes) -> bytes | None:
        """Return the response to a refused request frame, None for any other frame."""
        api_key, version, correlation = _HEADER.unpack_from(frame)
        if api_key != PRODUCE or self.topic.encode() not in frame:
            return None
        request: Any = getattr(produce, f"ProduceRequest_v{version}")
        response: Any = getattr(produce, f"ProduceResponse_v{version}")
        buffer = io.BytesIO(frame)
        RequestHeader_v1.SCHEMA.decode(buffer)
        asked = request.decode(buffer)
        names = {name for name, _ in asked.topics}
        if self.topic not in names:
            return None
        topics = [
            (name, [self._refused(version, partition) for partition, _ in partitions])
            for name, partitions in asked.topics
        ]
        body: bytes = struct.pack(">i", correlation) + response(topics, 0).encode()
        return struct.pack(">i", len(body)) + body

    def _refused(self, version: int, partition: int) -> tuple[int, ...]:
        # Partition, error code, base offset, time, and from v5 on the log's start offset.
        return (partition, self.error_code, -1, -1, -1)[: 5 if version >= 5 else 4]


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    #: In the order of the requests: the bytes of a refusal, or None for the broker's response.
    answers: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    spared: bool | None = None

    def abort(self) -> None:
        for writer in (self.client, self.broker):
            writer.transport.abort()


class KafkaProxy:
    """Forwards ``127.0.0.1:port`` to the broker's port, unless a fault prevents it."""

    def __init__(self, port: int, broker_port: int) -> None:
        self.port = port
        self._broker_port = broker_port
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._clear = asyncio.Event()
        self._clear.set()
        self._server: asyncio.Server | None = None
        self._refusal: Refusal | None = None
        self.refused = 0

    async def start(self) -> None:
        """Start listening."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        self._clear.set()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection of the workers."""
        for connection in [one for one in self._connections if not one.spared]:
            connection.abort()

    @contextmanager
    def black_hole(self) -> Iterator[None]:
        """Hold back the bytes of the workers' connections, also of new ones, in the block.

        They arrive at its end, as TCP would retransmit them.
        """
        self._clear.clear()
        try:
            yield
        finally:
            self._clear.set()

    @contextmanager
    def refusing(self, refusal: Refusal) -> Iterator[None]:
        """Answer the workers' produce requests by the refusal in the block."""
        self._refusal = refusal
        try:
            yield
        finally:
            self._refusal = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        connection = _Connection(writer, to_broker)
        self._connections.add(connection)
        pumps = [
            asyncio.create_task(self._requests(connection, reader)),
            asyncio.create_task(self._responses(connection, from_broker)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._connections.discard(connection)
            self._tasks.discard(task)
            connection.abort()

    async def _requests(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while True:
            frame = await _frame(reader)
            if connection.spared is None:
                connection.spared = _client_id(frame) == SPARED_CLIENT_ID
            await self._until_clear(connection)
            refusal = None if connection.spared else self._refusal
            refused = refusal.answer_to(frame) if refusal else None
            if refused is not None:
                self.refused += 1
                connection.answers.put_nowait(refused)
                continue
            connection.answers.put_nowait(None)
            connection.broker.write(struct.pack(">i", len(frame)) + frame)
            await connection.broker.drain()

    async def _responses(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while True:
            answer = await connection.answers.get()
            if answer is None:
                frame = await _frame(reader)
                answer = struct.pack(">i", len(frame)) + frame
            await self._until_clear(connection)
            connection.client.write(answer)
            await connection.client.drain()

    async def _until_clear(self, connection: _Connection) -> None:
        if not connection.spared:
            await self._clear.wait()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > _MAX_FRAME:
        raise ConnectionError(f"a frame of {size} bytes")
    return await reader.readexactly(size)


def _client_id(frame: bytes) -> str | None:
    with contextlib.suppress(struct.error, UnicodeDecodeError):
        (length,) = struct.unpack_from(">h", frame, _HEADER.size)
        start = _HEADER.size + 2
        return frame[start : start + length].decode() if length >= 0 else None
    return None
