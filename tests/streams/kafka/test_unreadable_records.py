"""Batches that aiokafka cannot read, decoded as its consumers do it."""

from __future__ import annotations

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher

from streams.kafka.connection import client_options
from streams.kafka.unreadable_records import UNREADABLE, FetchedBatches, LenientRecords
from tests.batches import (
    ATTRIBUTES_AT,
    BAD_NAME_AS_TEXT,
    CONTROL,
    COUNT_AT,
    GZIP,
    LENGTH_AT,
    LZ4,
    PLACE_OF_NAME,
    RECORDS_AT,
    SNAPPY,
    SPAN_AT,
    UNKNOWN_CODEC,
    ZSTD,
    Record,
    batch,
    put,
)

PLACE = TopicPartition("topic", 3)
THREE: list[Record] = [(b"k", f"value {number}".encode(), [("ok", b"x")]) for number in range(3)]


def read(data: bytes, at: int = 0) -> tuple[list[ConsumerRecord], int]:
    """Return the records of one fetch from ``at``, and the offset of the next fetch."""
    records = fetcher.PartitionRecords(
        PLACE, fetcher.MemoryRecords(data), None, at, None, None, True, fetcher.READ_UNCOMMITTED
    )
    return list(records), records.next_fetch_offset


def test_every_consumer_uses_these_classes() -> None:
    """Importing the options that all clients need installs them."""
    assert client_options.__module__ == "streams.kafka.connection"
    assert fetcher.PartitionRecords is LenientRecords
    assert fetcher.MemoryRecords is FetchedBatches


@pytest.mark.parametrize("compression", [0, GZIP, SNAPPY, LZ4, ZSTD])
def test_a_header_name_that_is_not_utf8_is_escaped(compression: int) -> None:
    """This works for each compression codec and leaves the other records unchanged."""
    records = [*THREE[:2], (None, b"", [(PLACE_OF_NAME, None), ("ok", b"\xff")]), THREE[2]]
    found, following = read(batch(records, compression=compression))
    assert [record.value for record in found] == [value for _, value, _ in records]
    assert [record.offset for record in found] == [0, 1, 2, 3]
    assert found[2].headers == ((BAD_NAME_AS_TEXT, None), ("ok", b"\xff"))
    assert found[2].key is None
    assert following == 4


def test_reading_can_start_inside_a_batch_that_is_decoded_again() -> None:
    """Records before the committed offset are not repeated."""
    records = [*THREE, (b"k", b"last", [(PLACE_OF_NAME, b"")])]
    found, _ = read(batch(records, base=10), at=12)
    assert [record.offset for record in found] == [12, 13]


SOUND_BUT_UNREADABLE = {
    "an unknown codec": put(ATTRIBUTES_AT, "h", UNKNOWN_CODEC),
    "invalid gzip": put(ATTRIBUTES_AT, "h", GZIP),
    "invalid zstd": put(ATTRIBUTES_AT, "h", ZSTD),
    "invalid lz4": put(ATTRIBUTES_AT, "h", LZ4),
    "a negative number of records": put(COUNT_AT, "i", -1),
    "a record longer than the batch": put(RECORDS_AT, "B", 0x7E),
    "a key longer than its record": put(RECORDS_AT + 4, "B", 0x7E),
    "an offset outside the batch": put(RECORDS_AT + 3, "B", 0x7E),
}


@pytest.mark.parametrize("name", SOUND_BUT_UNREADABLE)
def test_an_unreadable_batch_becomes_one_record_with_its_bytes(name: str) -> None:
    """Readable records before the fault are kept, and the other batches are unchanged."""
    bad = batch(THREE, base=13, change=SOUND_BUT_UNREADABLE[name])
    found, following = read(batch(THREE, base=10) + bad + batch(THREE, base=16), at=10)
    assert [record.offset for record in found[:3]] == [10, 11, 12]
    assert [record.offset for record in found[-3:]] == [16, 17, 18]
    (stand_in,) = (record for record in found[3:-3] if record.headers[0][0] == UNREADABLE)
    assert stand_in.value == bad
    assert stand_in.key is None
    assert len(stand_in.headers[0][1]) > 10
    assert (stand_in.topic, stand_in.partition) == PLACE
    assert all(13 <= record.offset < 16 for record in found[3:-3])
    assert following == 19


def test_a_batch_may_announce_more_records_than_it_has() -> None:
    """The existing ones are read, and no record takes an offset of the next batch."""
    liar = batch(THREE, base=13, change=put(COUNT_AT, "i", 100))
    found, following = read(liar + batch(THREE, base=16), at=13)
    assert [record.offset for record in found] == [13, 14, 15, 16, 17, 18]
    assert following == 19


def test_a_batch_with_a_wrong_checksum_becomes_one_record_at_once() -> None:
    """Reading continues after it."""
    damaged = batch(THREE, base=20, damage=put(RECORDS_AT + 8, "B", 0xFF))
    found, following = read(batch(THREE, base=17) + damaged + batch(THREE, base=23), at=17)
    assert [record.offset for record in found] == [17, 18, 19, 20, 23, 24, 25]
    assert found[3].value == damaged
    assert b"CRC" in found[3].headers[0][1]
    assert following == 26


def test_a_damaged_header_does_not_skip_later_offsets() -> None:
    """The span of a damaged batch counts only when it matches the number of records."""
    damaged = batch(THREE, base=30, damage=put(SPAN_AT, "i", 1 << 30))
    assert read(damaged, at=30)[1] == 31


@pytest.mark.parametrize("length", [-1, 3])
def test_a_batch_too_short_for_its_header_does_not_stop_reading(length: int) -> None:
    """The checksum does not cover the length."""
    stump = batch(THREE, base=40, damage=put(LENGTH_AT, "i", length))
    (stand_in, *_), following = read(stump, at=40)
    assert stand_in.offset == 40
    assert following > 40


@pytest.mark.parametrize("span", [-5, -1, 0, 1])
def test_a_batch_that_claims_to_end_too_early_never_moves_reading_back(span: int) -> None:
    """Its claim would lead the reader to the same batch again, or to the start of the log."""
    liar = batch(THREE, base=50, change=put(SPAN_AT, "i", span))
    at = 50
    for _ in range(4):
        found, following = read(liar, at=at)
        assert all(record.offset >= at for record in found)
        assert following >= at
        at = following
    assert at in (53, 54)


def test_control_batches_are_skipped() -> None:
    """Transaction markers are not records."""
    control = batch(THREE, base=10, change=put(ATTRIBUTES_AT, "h", CONTROL))
    assert read(control, at=10) == ([], 13)


def test_each_bad_batch_of_a_fetch_is_handled_separately() -> None:
    """The readable batches around them are unchanged."""
    name: list[Record] = [(b"k", b"v", [(PLACE_OF_NAME, b"")])]
    unknown = batch(THREE, base=1, change=put(ATTRIBUTES_AT, "h", UNKNOWN_CODEC))
    found, following = read(batch(name) + unknown + batch(name, base=4) + batch(THREE, base=5))
    assert [record.offset for record in found] == [0, 1, 4, 5, 6, 7]
    assert found[1].value == unknown
    assert following == 8
