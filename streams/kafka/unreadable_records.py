"""What aiokafka cannot read arrives all the same, and stops no reader.

aiokafka raises while it takes a fetched batch of records apart: for the name of a header that is
not UTF-8 (Kafka's own clients read it with replacement characters), an unknown compression, lengths
that contradict each other, a checksum that is wrong. The reader stays in front of that batch, so
that a worker ends there, and then the next one that is given the partition, and so on.

``install`` puts two classes into aiokafka, for every consumer of the process. Sound batches are
read by the same compiled code as before. Of one that fails,

- where the checksum is right, all records are read, with what is not UTF-8 in the names of headers
  written as escapes (``\\xff``);
- what cannot be read at all arrives as one record without a key, whose value is the batch byte for
  byte and whose header ``UNREADABLE`` says why. That is no event of any of our topics, so it ends
  in the fallback topic, and reading goes on behind the batch;
- where the checksum is wrong, the batch is fetched again first: its transfer may have damaged it.

A record may also claim an offset behind its batch. aiokafka believes it, and Faust would then take
every later event of the partition for one that it has seen; such a batch is unreadable too. So is
one that begins absurdly far ahead of what was asked for: its beginning is outside its checksum.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import structlog
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord

log = structlog.get_logger(__name__)

#: The header of a record that stands for a batch which cannot be read; its value says why.
UNREADABLE = "facestream-unreadable-batch"
#: How often a batch with a wrong checksum is fetched again.
FETCHES_AGAIN = 3
#: Offsets; no gap of a compacted log is as wide, and no partition has had as many records.
FURTHEST_AHEAD = 1 << 40

_BASE_AND_LENGTH = struct.Struct(">qi")
_MAGIC_AT = 16
_LARGEST_OFFSET = (1 << 63) - 1
_SIZE_OF_HEADER = _DefaultRecordBatchPy.HEADER_STRUCT.size

#: By partition, where a batch had a wrong checksum, and how often it was fetched again.
_damaged: dict[Any, tuple[int, int]] = {}


def install() -> None:
    """Let every consumer that this process starts from now on read in this way."""
    fetcher.MemoryRecords = Fetched
    fetcher.PartitionRecords = EveryRecord


class Fetched(MemoryRecords):  # type: ignore[misc]  # says it is final; compiled, it is not
    """The batches of one fetch, which can tell the bytes of the one taken last."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data = data
        self._taken = 0
        self.end = 0
        """The first offset behind the batch that was taken last."""
        self.furthest: int = _LARGEST_OFFSET
        """No batch begins behind this offset."""

    def next_batch(self) -> Any:
        """As aiokafka's, but raises for a batch that ends before it begins or is out of reach."""
        self._taken += 1
        batch = super().next_batch()
        if batch is not None:
            self.end = batch.next_offset
            base = getattr(batch, "base_offset", self.end - 1)
            if self.end <= base:
                raise CorruptRecordException(f"the batch ends at {self.end}, before it begins")
            if base > self.furthest:
                raise CorruptRecordException(f"the batch begins at {base}, out of reach")
        return batch

    def split(self) -> tuple[bytes, bytes]:
        """The batch that was taken last, and all that follows it."""
        start = end = 0
        for _ in range(self._taken):
            start = end
            _, length = _BASE_AND_LENGTH.unpack_from(self._data, start)
            end = start + _BASE_AND_LENGTH.size + max(0, length)
        return bytes(self._data[start:end]), bytes(self._data[end:])


class EveryRecord(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no hints here
    """The records of one fetch from one partition, whatever they are like."""

    _records: Fetched
    _records_iterator: Iterator[ConsumerRecord] | None
    next_fetch_offset: int

    def __init__(self, tp: Any, records: Any, aborted: Any, fetch_offset: int, *more: Any) -> None:
        super().__init__(tp, records, aborted, fetch_offset, *more)
        self._asked_for = fetch_offset
        records.furthest = fetch_offset + FURTHEST_AHEAD

    def __next__(self) -> ConsumerRecord:
        while True:
            try:
                return next(self._records_iterator)  # type: ignore[arg-type]
            except StopIteration:
                self._records_iterator = None
                # A batch that says it ends before what was asked for must not lead back.
                self.next_fetch_offset = max(self.next_fetch_offset, self._asked_for)
                raise
            except Exception as error:
                batch, rest = self._records.split()
                sound = _is_sound(batch) and not self._is_astray(batch)
                if not sound and self._is_fetched_again():
                    self._records_iterator = None
                    raise StopIteration from None
                self._records_iterator = self._from(batch, rest, error, sound=sound)

    def _consumer_record(self, tp: Any, record: Any) -> ConsumerRecord:
        if record.offset >= self._records.end:
            raise CorruptRecordException(f"offset {record.offset} is not in its batch")
        return super()._consumer_record(tp, record)

    def _is_astray(self, batch: bytes) -> bool:
        """Whether the batch says that it lies out of reach."""
        return _base_of(batch) > self._records.furthest

    def _is_fetched_again(self) -> bool:
        """Whether to end in front of the batch, so that it is fetched again."""
        offset, times = _damaged.get(self._tp, (-1, 0))
        times = times + 1 if offset == self.next_fetch_offset else 1
        if times > FETCHES_AGAIN:
            _damaged.pop(self._tp, None)
            return False
        _damaged[self._tp] = self.next_fetch_offset, times
        return True

    def _from(
        self, batch: bytes, rest: bytes, error: Exception, *, sound: bool
    ) -> Iterator[ConsumerRecord]:
        """What can be made of a batch that failed, and then the others."""
        # The broker has answered a request for the first offset, whatever the batch says.
        end = max(_end_of(batch, sound=sound), self._asked_for + 1)
        if self._is_astray(batch):
            # How far it reaches from here nobody knows, and nothing may be passed over.
            end = self.next_fetch_offset + 1
        where = {"topic": self._tp.topic, "partition": self._tp.partition}
        try:
            if not sound:
                raise error
            for record in _Lenient(batch):
                if record.offset >= end:
                    raise error
                if record.offset >= self.next_fetch_offset:
                    taken = super()._consumer_record(self._tp, record)
                    self.next_fetch_offset = record.offset + 1
                    yield taken
            log.warning("records were read leniently", **where, end=end, reason=str(error))
        except Exception as final:
            reason = f"{type(final).__name__}: {final}"
            log.error(  # noqa: TRY400 - the reason says enough
                "records cannot be read; they are kept together, and reading goes on behind them",
                **where,
                offset=self.next_fetch_offset,
                goes_on_at=end,
                bytes=len(batch),
                reason=reason,
            )
            if self.next_fetch_offset < end:
                yield self._in_its_place(batch, reason)
        self.next_fetch_offset = max(self.next_fetch_offset, end)
        furthest = self._records.furthest
        self._records = Fetched(rest)
        self._records.furthest = furthest
        yield from self._unpack_records()

    def _in_its_place(self, batch: bytes, reason: str) -> ConsumerRecord:
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


def _is_sound(batch: bytes) -> bool:
    """Whether the checksum of a batch in today's format (magic 2 and above) is right."""
    if len(batch) < _SIZE_OF_HEADER or batch[_MAGIC_AT] < 2:
        return False
    return bool(DefaultRecordBatch(batch).validate_crc())


def _base_of(batch: bytes) -> int:
    base: int = _BASE_AND_LENGTH.unpack_from(batch)[0]
    return base


def _end_of(batch: bytes, *, sound: bool) -> int:
    """The first offset behind a batch, as far as its header can be believed."""
    base = _base_of(batch)
    if len(batch) < _SIZE_OF_HEADER or batch[_MAGIC_AT] < 2:
        return base + 1
    header = _DefaultRecordBatchPy.HEADER_STRUCT.unpack_from(batch)
    span, count = header[6] + 1, header[12]
    believable = span > 0 and (sound or span == count)
    return base + (span if believable else 1)


class _Lenient(_DefaultRecordBatchPy):  # type: ignore[misc]  # says it is final
    """aiokafka's reader in Python, for which every name is text."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Names(self._buffer)

    def _read_msg(self, _: Any = None) -> Any:
        return super()._read_msg(_varint)


class _Names(bytearray):
    """Decodes to text whatever it holds; so do its slices."""

    def __getitem__(self, where: Any) -> Any:
        part = super().__getitem__(where)
        return _Names(part) if isinstance(where, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        """Text, with escapes for what is none."""
        return super().decode(encoding, errors)


def _varint(buffer: bytearray, pos: int) -> tuple[int, int]:
    """A zigzag varint at ``pos``, and the position behind it. aiokafka's own refuses subclasses."""
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
