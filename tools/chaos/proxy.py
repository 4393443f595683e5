"""A TCP proxy between workers and broker that can cut, swallow, and refuse.

It reads Kafka's frames only as far as it must: who speaks (the client id of the first request), and
which topics a produce request is for. Responses keep the order of their requests, as the protocol
demands, so a refusal waits for its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
from dataclasses import dataclass, field
from typing import Any

from aiokafka.protocol import produce
from aiokafka.protocol.api import RequestHeader_v1

#: The suite's own clients: no fault applies to them.
SPARED_CLIENT_ID = "chaos-suite"

PRODUCE = 0
_LONGEST_FRAME = 64 * 1024 * 1024
_HEADER = struct.Struct(">hhi")  # api key, api version, correlation id


@dataclass(frozen=True, slots=True)
class Refusal:
    """Produce requests that name the topic are answered with the error, and go no further.

    All partitions of such a request are refused: none of it reaches the broker.
    """

    topic: str
    error_code: int

    def answer_to(self, frame: bytes) -> bytes | None:
        """The response frame for a request frame that is refused, None for any other."""
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
        # partition, error code, base offset, and from v5 on the log's start offset after the time
        return (partition, self.error_code, -1, -1, -1)[: 5 if version >= 5 else 4]


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    #: A refusal's bytes, or None for a response that the broker owes.
    owed: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    spared: bool | None = None

    def abort(self) -> None:
        for writer in (self.client, self.broker):
            writer.transport.abort()


class KafkaProxy:
    """Forwards ``127.0.0.1:port`` to the broker's port, as well as it is allowed to."""

    def __init__(self, port: int, broker_port: int) -> None:
        self.port = port
        self._broker_port = broker_port
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._clear = asyncio.Event()
        self._clear.set()
        self._server: asyncio.Server | None = None
        self.refusal: Refusal | None = None
        self.refused = 0

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self.heal()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> int:
        """Reset every connection of the workers; how many there were."""
        victims = [one for one in self._connections if not one.spared]
        for connection in victims:
            connection.abort()
        return len(victims)

    def black_hole(self) -> None:
        """From now on bytes of the workers' connections, new ones too, arrive nowhere."""
        self._clear.clear()

    def heal(self) -> None:
        """What the hole swallowed arrives late, as TCP would have it."""
        self._clear.set()

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
            await self._way_is_clear(connection)
            refusal = None if connection.spared or self.refusal is None else self.refusal
            refused = refusal.answer_to(frame) if refusal else None
            if refused is not None:
                self.refused += 1
                connection.owed.put_nowait(refused)
                continue
            connection.owed.put_nowait(None)
            connection.broker.write(struct.pack(">i", len(frame)) + frame)
            await connection.broker.drain()

    async def _responses(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while True:
            answer = await connection.owed.get()
            if answer is None:
                frame = await _frame(reader)
                answer = struct.pack(">i", len(frame)) + frame
            await self._way_is_clear(connection)
            connection.client.write(answer)
            await connection.client.drain()

    async def _way_is_clear(self, connection: _Connection) -> None:
        if not connection.spared:
            await self._clear.wait()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > _LONGEST_FRAME:
        raise ConnectionError(f"a frame of {size} bytes")
    return await reader.readexactly(size)


def _client_id(frame: bytes) -> str | None:
    with contextlib.suppress(struct.error, UnicodeDecodeError):
        (length,) = struct.unpack_from(">h", frame, _HEADER.size)
        start = _HEADER.size + 2
        return frame[start : start + length].decode() if length >= 0 else None
    return None
