"""Kafka record batches in wire format, valid and damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer, TopicPartition, codec
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

#: A placeholder, replaced by a header name that is not UTF-8.
PLACE_OF_NAME = "NAME"
BAD_NAME = b"\xff\xfeN\xc3"
BAD_NAME_AS_TEXT = "\\xff\\xfeN\\xc3"

#: Byte offsets within a batch (https://kafka.apache.org/documentation/#recordbatch).
LENGTH_AT, CRC_AT, ATTRIBUTES_AT, SPAN_AT, COUNT_AT, RECORDS_AT = 8, 17, 21, 23, 57, 61
GZIP, SNAPPY, LZ4, ZSTD, UNKNOWN_CODEC, CONTROL = 1, 2, 3, 4, 7, 0x20
_CODECS = {
    GZIP: codec.gzip_encode,
    SNAPPY: codec.snappy_encode,
    LZ4: codec.lz4_encode,
    ZSTD: codec.zstd_encode,
}

Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]


def batch(
    records: Sequence[Record],
    *,
    base: int = 0,
    compression: int = 0,
    change: Callable[[bytearray], None] = lambda _: None,
    damage: Callable[[bytearray], None] = lambda _: None,
) -> bytes:
    """Return a batch; ``change`` edits it before the checksum is computed, ``damage`` after."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 24,
    )
    for offset, (key, value, headers) in enumerate(records):
        builder.append(offset, timestamp=1, key=key, value=value, headers=list(headers))
    made = bytearray(bytes(builder.build()).replace(PLACE_OF_NAME.encode(), BAD_NAME))
    if compression:
        made[RECORDS_AT:] = _CODECS[compression](bytes(made[RECORDS_AT:]))
        struct.pack_into(">i", made, LENGTH_AT, len(made) - LENGTH_AT - 4)
        struct.pack_into(">h", made, ATTRIBUTES_AT, compression)
    struct.pack_into(">q", made, 0, base)
    change(made)
    struct.pack_into(">I", made, CRC_AT, calc_crc32c(bytes(made[ATTRIBUTES_AT:])))
    damage(made)
    return bytes(made)


def put(at: int, shape: str, value: int) -> Callable[[bytearray], None]:
    """Return a change that writes a number in a ``struct`` format at an offset."""
    return lambda made: struct.pack_into(">" + shape, made, at, value)


async def produce(producer: AIOKafkaProducer, topic: str, data: bytes) -> int:
    """Send a raw batch to partition 0; return the broker's error code, 0 for success."""
    await producer.client._wait_on_metadata(topic)
    node = producer.client.cluster.leader_for_partition(TopicPartition(topic, 0))
    request = ProduceRequest(
        transactional_id=None, required_acks=-1, timeout=10_000, topics=[(topic, [(0, data)])]
    )
    response = await producer.client.send(node, request)
    code: int = response.topics[0][1][0][1]
    return code
