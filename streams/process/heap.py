"""How the C library keeps memory, set for a process whose largest pieces come and go.

glibc adapts to what it sees: after one large piece was freed, it takes the next of that size from
its heaps, which the pieces then fragment. Loading the models leaves holes of 30 MB in them that
are never given back, and fetched records and pictures leave 90 MB within half a minute of load
(measured).
"""

from __future__ import annotations

import asyncio
import ctypes
import sys

# /usr/include/malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8

MB = 1024 * 1024

#: While models are loaded: each large piece for itself, and gone when it is freed.
LOADING = MB // 4
#: While pictures are scored: pixels of a picture of 1080 lines come from the heap, as fresh pages
#: for each would cost a sixth of its CPU time (measured: 31 in place of 26 ms).
SCORING = 8 * MB

#: The event loop's, and one for the threads that fetch and score. One for all saves 2 MB and was
#: no faster.
ARENAS = 2

#: How often holes are given back. It takes a thread of its own some milliseconds.
TRIM_EVERY_S = 2.0


def prepare_heap() -> None:
    """Before the models are loaded. Does nothing where the C library is not glibc."""
    _set({M_MMAP_THRESHOLD: LOADING, M_ARENA_MAX: ARENAS})


def settle_heap() -> None:
    """After that: give back what is free, and keep what pictures need."""
    _trim()
    _set({M_MMAP_THRESHOLD: SCORING, M_TRIM_THRESHOLD: SCORING})


async def keep_trimming() -> None:
    """Give back what is free, again and again until cancelled."""
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
