"""Lets consumers read past records that aiokafka cannot read.

aiokafka raises while it decodes a fetched batch of records: for a header name that is not UTF-8
(Kafka's own clients replace such characters), an unknown compression codec, contradictory lengths,
a wrong checksum. The consumer cannot advance past that batch, so the worker stops there, and so
does the next worker that is assigned the partition.

``install`` replaces two classes of aiokafka, for all consumers of the process. The same compiled
code decodes sound batches. When it fails,

- a batch with a right checksum is decoded again, with invalid header names written as escapes
  (``\\xff``);
- what still cannot be decoded becomes one record without a key, whose value is the batch byte for
  byte and whose header ``UNREADABLE`` holds the reason. It is not an event of any topic, so it
  becomes a dead letter, and reading continues after the batch.

A record may also claim an offset after the end of its batch. aiokafka accepts it, and Faust would
then skip every later event of the partition as already seen; such a batch is unreadable too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import structlog
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import (
    DefaultRecord,
    DefaultRecordBatch,
    _DefaultRecordBatchPy,
)
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

log = structlog.get_logger(__name__)

#: Header of a record that stands for an unreadable batch; its value is the reason.
UNREADABLE = "facestream-unreadable-batch"

_BASE_AND_LENGTH = struct.Struct(">qi")
_MAGIC_AT = 16
_HEADER_SIZE = _DefaultRecordBatchPy.HEADER_STRUCT.size


def install() -> None:
    """Make every consumer that this process starts from now on use these classes."""
    fetcher.MemoryRecords = FetchedBatches
    fetcher.PartitionRecords = LenientRecords


class FetchedBatches(MemoryRecords):  # type: ignore[misc]  # declared final; the compiled one is not
    """The batches of one fetch response, with access to the bytes of the current one."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data = data
        self._batch = slice(0, 0)
        self.end_offset = 0
        """The first offset after the current batch."""

    def next_batch(self) -> DefaultRecordBatch | None:
        """Return the next batch. Raises for one that ends before it begins."""
        if not self.has_next():
            return None
        start = self._batch.stop
        _, length = _BASE_AND_LENGTH.unpack_from(self._data, start)
        self._batch = slice(start, start + _BASE_AND_LENGTH.size + max(0, length))
        batch = super().next_batch()
        self.end_offset = batch.next_offset
        base = getattr(batch, "base_offset", self.end_offset - 1)
        if self.end_offset <= base:
            raise CorruptRecordException(f"the batch ends at {self.end_offset}, before it begins")
        return batch

    def split(self) -> tuple[bytes, bytes]:
        """Return the bytes of the current batch, and those of all batches after it."""
        return bytes(self._data[self._batch]), bytes(self._data[self._batch.stop :])


class LenientRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no type hints
    """The records of one fetch response from one partition, unreadable ones included."""

    _records: FetchedBatches
    _records_iterator: Iterator[ConsumerRecord]
    next_fetch_offset: int

    def __init__(
        self,
        tp: TopicPartition,
        records: FetchedBatches,
        aborted: object,
        start: int,
        *rest: object,
    ) -> None:
        super().__init__(tp, records, aborted, start, *rest)
        self._requested = start

    def __next__(self) -> ConsumerRecord:
        while True:
            try:
                return next(self._records_iterator)
            except StopIteration:
                self._records_iterator = iter(())  # breaks a reference cycle, as aiokafka does
                # A batch may claim to end before the requested offset: reading must not go back.
                self.next_fetch_offset = max(self.next_fetch_offset, self._requested)
                raise
            except Exception as error:
                self._records_iterator = self._recover(error)

    def _consumer_record(self, tp: TopicPartition, record: DefaultRecord) -> ConsumerRecord:
        if record.offset >= self._records.end_offset:
            raise CorruptRecordException(f"offset {record.offset} is not in its batch")
        return super()._consumer_record(tp, record)

    def _recover(self, error: Exception) -> Iterator[ConsumerRecord]:
        """Yield what can be read of the current batch, then the records of the next ones."""
        batch, rest = self._records.split()
        is_sound = _has_valid_checksum(batch)
        # The broker sent the batch for the requested offset, even if the batch claims another.
        end = max(_end_of(batch, is_sound=is_sound), self._requested + 1)
        where = {"topic": self._tp.topic, "partition": self._tp.partition}
        try:
            if not is_sound:
                raise error
            yield from self._read_leniently(batch, end, error)
            log.warning("records were read leniently", **where, end=end, reason=str(error))
        except Exception as final:
            reason = f"{type(final).__name__}: {final}"
            log.error(  # noqa: TRY400 - the reason is enough
                "records cannot be read; they become one dead letter, and reading continues",
                **where,
                offset=self.next_fetch_offset,
                goes_on_at=end,
                bytes=len(batch),
                reason=reason,
            )
            if self.next_fetch_offset < end:
                yield self._stand_in(batch, reason)
        self.next_fetch_offset = max(self.next_fetch_offset, end)
        self._records = FetchedBatches(rest)
        yield from self._unpack_records()

    def _read_leniently(self, batch: bytes, end: int, error: Exception) -> Iterator[ConsumerRecord]:
        for record in _LenientBatch(batch):
            if record.offset >= end:
                raise error
            if record.offset >= self.next_fetch_offset:
                decoded = super()._consumer_record(self._tp, record)
                self.next_fetch_offset = record.offset + 1
                yield decoded

    def _stand_in(self, batch: bytes, reason: str) -> ConsumerRecord:
        return ConsumerRecord(
            topic=self._tp.topic,
            partition=self._tp.partition,
            offset=self.next_fetch_offset,
            timestamp=0,
            timestamp_type=0,
            key=None,
            value=batch,
            checksum=None,
            serialized_key_size=-1,
            serialized_value_size=len(batch),
            headers=((UNREADABLE, reason.encode(errors="backslashreplace")),),
        )


def _has_valid_checksum(batch: bytes) -> bool:
    """Whether a batch in the current format (magic 2 and above) has the right checksum."""
    if len(batch) < _HEADER_SIZE or batch[_MAGIC_AT] < 2:
        return False
    return bool(DefaultRecordBatch(batch).validate_crc())


def _end_of(batch: bytes, *, is_sound: bool) -> int:
    """Return the first offset after a batch, taken from its header if that is plausible."""
    base: int = _BASE_AND_LENGTH.unpack_from(batch)[0]
    if len(batch) < _HEADER_SIZE or batch[_MAGIC_AT] < 2:
        return base + 1
    header = _DefaultRecordBatchPy.HEADER_STRUCT.unpack_from(batch)
    span, count = header[6] + 1, header[12]
    credible = span > 0 and (is_sound or span == count)
    return base + (span if credible else 1)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # declared final
    """aiokafka's decoder in Python, which accepts any bytes as a header name."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)

    def _read_msg(self, _: object = None) -> DefaultRecord:
        return super()._read_msg(_varint)


class _LenientBytes(bytearray):
    """Bytes whose slices decode to text with escapes for what is not UTF-8."""

    def __getitem__(self, where: Any) -> Any:
        part = super().__getitem__(where)
        return _LenientBytes(part) if isinstance(where, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        """Decode with escapes by default."""
        return super().decode(encoding, errors)


def _varint(buffer: bytearray, pos: int) -> tuple[int, int]:
    """Decode a zigzag varint at ``pos``; return it and the position after it.

    aiokafka's own decoder refuses subclasses of ``bytearray``.
    """
    value = shift = 0
    while True:
        byte = buffer[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), pos
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
