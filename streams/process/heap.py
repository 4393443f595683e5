"""The heap of the process: glibc tuned for large blocks that come and go.

glibc adapts its thresholds: after a large block was freed, it takes the next block of that size
from its heaps, which then fragment. Loading the models leaves 30 MB of holes that are never
returned to the system, and fetched records and pictures leave 90 MB within half a minute of load
(measured).
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys

# /usr/include/malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8

MB = 1024 * 1024

#: While models are loaded: each large block is mapped alone, and returned when it is freed.
LOADING = MB // 4
#: While pictures are scored: the pixels of a Full-HD picture come from the heap. Fresh pages for
#: each picture would cost a sixth more CPU time (measured: 31 ms against 26).
SCORING = 8 * MB

#: One arena for the event loop and one for the threads that fetch and score. A single arena saves
#: 2 MB and was no faster.
ARENAS = 2

#: Interval at which free memory is returned, which takes a few milliseconds in a thread.
TRIM_EVERY_S = 2.0


def prepare_heap() -> None:
    """Prepare for loading the models. Does nothing where the C library is not glibc."""
    _set({M_MMAP_THRESHOLD: LOADING, M_ARENA_MAX: ARENAS})


def settle_process() -> None:
    """Prepare for work once everything is loaded.

    Returns free memory, and lets the heap keep blocks of a picture's size. ``gc.freeze`` hides the
    objects of the start from the garbage collector: a full collection would otherwise scan them
    every ten seconds under load, 0.1 s in which the event loop does nothing (measured).
    """
    gc.collect()
    gc.freeze()
    _trim()
    _set({M_MMAP_THRESHOLD: SCORING, M_TRIM_THRESHOLD: SCORING})


async def keep_trimming() -> None:
    """Return free memory to the system every ``TRIM_EVERY_S``, until cancelled."""
    while _glibc() is not None:
        await asyncio.sleep(TRIM_EVERY_S)
        await asyncio.to_thread(_trim)


def _trim() -> None:
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _set(parameters: dict[int, int]) -> None:
    libc = _glibc()
    if libc is not None:
        for parameter, value in parameters.items():
            libc.mallopt(parameter, value)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
