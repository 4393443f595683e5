"""The heap: freed memory is returned to the system."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

import streams.process.heap
from streams.process.heap import _glibc

GROWN = """
import gc
from streams.process.heap import prepare_heap, settle_process

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

{before}
bytearray(1_000_000)  # once freed, glibc takes blocks of this size from its heap
kept, large = [], []
for number in range(64):  # a small block behind each large one keeps the heap from shrinking
    kept.append(bytes(3000 + number))
    large.append(bytearray(900_000))
before = resident()
del large
gc.collect()
{after}
print(before - resident())
"""


@pytest.mark.skipif(_glibc() is None, reason="the C library is not glibc")
@pytest.mark.parametrize(("before", "after"), [("prepare_heap()", ""), ("", "settle_process()")])
def test_memory_that_loading_took_is_returned(before: str, after: str) -> None:
    """It is nearly all of 58 MB in large blocks, although small blocks remain between them."""
    code = GROWN.format(before=before, after=after)
    freed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(freed.stdout) > 50_000_000


@pytest.mark.skipif(_glibc() is None, reason="the C library is not glibc")
async def test_free_memory_is_returned_while_the_worker_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The heap is trimmed repeatedly until the task is cancelled."""
    trimmed: list[int] = []
    monkeypatch.setattr(streams.process.heap, "TRIM_EVERY_S", 0.001)
    monkeypatch.setattr(streams.process.heap, "_trim", lambda: trimmed.append(1))
    trimming = asyncio.create_task(streams.process.heap.keep_trimming())
    async with asyncio.timeout(10):
        while len(trimmed) < 3:
            await asyncio.sleep(0.001)
    trimming.cancel()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS and musl have no such parameters."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _glibc() is None
