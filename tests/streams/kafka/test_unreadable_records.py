"""Batches that aiokafka cannot read, taken apart as its consumers do it."""

from __future__ import annotations

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher

from streams.kafka import connection as kafka
from streams.kafka.unreadable_records import FETCHES_AGAIN, UNREADABLE, EveryRecord, Fetched
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
    """The records of one fetch from ``at``, and where the next fetch begins."""
    records = fetcher.PartitionRecords(
        PLACE, fetcher.MemoryRecords(data), None, at, None, None, True, fetcher.READ_UNCOMMITTED
    )
    return list(records), records.next_fetch_offset


def test_every_consumer_of_ours_reads_in_this_way() -> None:
    """Whoever has what clients are made with has them."""
    assert kafka.client_options.__module__ == "streams.kafka.connection"
    assert fetcher.PartitionRecords is EveryRecord
    assert fetcher.MemoryRecords is Fetched


@pytest.mark.parametrize("compression", [0, GZIP, SNAPPY, LZ4, ZSTD])
def test_a_name_that_is_not_utf8_is_read_with_escapes(compression: int) -> None:
    """Whatever the compression; the records around it are as they were."""
    records = [*THREE[:2], (None, b"", [(PLACE_OF_NAME, None), ("ok", b"\xff")]), THREE[2]]
    found, following = read(batch(records, compression=compression))
    assert [record.value for record in found] == [value for _, value, _ in records]
    assert [record.offset for record in found] == [0, 1, 2, 3]
    assert found[2].headers == ((BAD_NAME_AS_TEXT, None), ("ok", b"\xff"))
    assert found[2].key is None
    assert following == 4


def test_reading_begins_in_the_middle_of_such_a_batch() -> None:
    """What lies before the committed offset does not come again."""
    records = [*THREE, (b"k", b"last", [(PLACE_OF_NAME, b"")])]
    found, _ = read(batch(records, base=10), at=12)
    assert [record.offset for record in found] == [12, 13]


SOUND_BUT_UNREADABLE = {
    "a codec that nobody knows": put(ATTRIBUTES_AT, "h", UNKNOWN_CODEC),
    "gzip that is none": put(ATTRIBUTES_AT, "h", GZIP),
    "zstd that is none": put(ATTRIBUTES_AT, "h", ZSTD),
    "lz4 that is none": put(ATTRIBUTES_AT, "h", LZ4),
    "fewer records than none": put(COUNT_AT, "i", -1),
    "a record longer than the batch": put(RECORDS_AT, "B", 0x7E),
    "a key longer than its record": put(RECORDS_AT + 4, "B", 0x7E),
    "an offset outside the batch": put(RECORDS_AT + 3, "B", 0x7E),
}


@pytest.mark.parametrize("name", SOUND_BUT_UNREADABLE)
def test_what_cannot_be_read_arrives_as_its_bytes(name: str) -> None:
    """One record for what is left of the batch; the batches around it are as they were."""
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


def test_more_records_are_promised_than_there_are() -> None:
    """Those that are there are read, and no record takes an offset of the next batch."""
    liar = batch(THREE, base=13, change=put(COUNT_AT, "i", 100))
    found, following = read(liar + batch(THREE, base=16), at=13)
    assert [record.offset for record in found] == [13, 14, 15, 16, 17, 18]
    assert following == 19


def test_a_wrong_checksum_is_fetched_again_before_it_counts() -> None:
    """The transfer may have been at fault: what comes right the next time is read."""
    sound = batch(THREE, base=10)
    damaged = batch(THREE, base=10, damage=put(RECORDS_AT + 8, "B", 0xFF))
    before = batch(THREE, base=7)
    found, following = read(before + damaged, at=7)
    assert [record.offset for record in found] == [7, 8, 9]
    assert following == 10
    assert [record.value for record in read(sound, at=10)[0]] == [v for _, v, _ in THREE]


def test_a_checksum_that_stays_wrong_does_not_stop_reading() -> None:
    """After a few fetches the batch arrives as its bytes, and reading goes on behind it."""
    damaged = batch(THREE, base=20, damage=put(RECORDS_AT + 8, "B", 0xFF))
    for _ in range(FETCHES_AGAIN):
        assert read(damaged, at=20) == ([], 20)
    (stand_in,), following = read(damaged, at=20)
    assert (stand_in.offset, stand_in.value) == (20, damaged)
    assert following == 23


def test_a_damaged_header_does_not_lead_out_of_the_log() -> None:
    """How far a damaged batch reaches is believed only where two of its fields agree."""
    damaged = batch(THREE, base=30, damage=put(SPAN_AT, "i", 1 << 30))
    for _ in range(FETCHES_AGAIN):
        read(damaged, at=30)
    assert read(damaged, at=30)[1] == 31


@pytest.mark.parametrize("base", [(1 << 41), 58_000_000_000_000_000, (1 << 63) - 2])
def test_a_batch_that_lies_absurdly_far_ahead_does_not_take_reading_there(base: int) -> None:
    """Where a batch begins is not under its checksum; Faust would drop every later event."""
    before, after = batch(THREE, base=10), batch(THREE, base=16)
    astray = batch(THREE, base=13, damage=put(0, "q", base))
    for _ in range(FETCHES_AGAIN):
        found, following = read(before + astray + after, at=10)
        assert [record.offset for record in found] == [10, 11, 12]
        assert following == 13
    found, following = read(before + astray + after, at=10)
    assert [record.offset for record in found] == [10, 11, 12, 13, 16, 17, 18]
    assert found[3].value == astray
    assert following == 19


def test_a_batch_astray_that_is_right_the_next_time_is_read() -> None:
    """It was its transfer."""
    astray = batch(THREE, base=60, damage=put(0, "q", 1 << 50))
    assert read(astray, at=60) == ([], 60)
    found, following = read(batch(THREE, base=60), at=60)
    assert [record.offset for record in found] == [60, 61, 62]
    assert following == 63


def test_a_batch_that_stays_astray_moves_reading_on_by_one() -> None:
    """How far it really reaches nobody knows; nothing behind it must be passed over."""
    astray = batch(THREE, base=70, damage=put(0, "q", 1 << 50))
    for _ in range(FETCHES_AGAIN):
        assert read(astray, at=71) == ([], 71)
    (stand_in,), following = read(astray, at=71)
    assert (stand_in.offset, stand_in.value) == (71, astray)
    assert following == 72


@pytest.mark.parametrize("length", [-1, 3])
def test_a_batch_without_room_for_a_header_does_not_stop_reading(length: int) -> None:
    """The length is not under the checksum."""
    stump = batch(THREE, base=40, damage=put(LENGTH_AT, "i", length))
    for _ in range(FETCHES_AGAIN):
        assert read(stump, at=40) == ([], 40)
    (stand_in, *_), following = read(stump, at=40)
    assert stand_in.offset == 40
    assert following > 40


@pytest.mark.parametrize("span", [-5, -1, 0, 1])
def test_a_batch_that_ends_too_early_moves_reading_on_and_never_back(span: int) -> None:
    """Believed, it would send the reader to where it was, or to the beginning of the log."""
    liar = batch(THREE, base=50, change=put(SPAN_AT, "i", span))
    at = 50
    for _ in range(4):
        found, following = read(liar, at=at)
        assert all(record.offset >= at for record in found)
        assert following >= at
        at = following
    assert at in (53, 54)


def test_control_batches_are_passed_over() -> None:
    """The markers of transactions are no records."""
    control = batch(THREE, base=10, change=put(ATTRIBUTES_AT, "h", CONTROL))
    assert read(control, at=10) == ([], 13)


def test_two_bad_batches_in_one_fetch() -> None:
    """Each is treated by itself."""
    name: list[Record] = [(b"k", b"v", [(PLACE_OF_NAME, b"")])]
    unknown = batch(THREE, base=1, change=put(ATTRIBUTES_AT, "h", UNKNOWN_CODEC))
    found, following = read(batch(name) + unknown + batch(name, base=4) + batch(THREE, base=5))
    assert [record.offset for record in found] == [0, 1, 4, 5, 6, 7]
    assert found[1].value == unknown
    assert following == 8
