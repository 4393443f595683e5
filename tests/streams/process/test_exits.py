"""Ending the process: in real ones, as nothing else shows that they end."""

from __future__ import annotations

import subprocess
import sys

from streams.process.exits import EXIT_CANNOT_START, EXIT_STOP_TOOK_TOO_LONG


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """A Python process that ran ``program``."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )


def test_a_start_that_cannot_succeed_ends_at_once_with_its_reason_in_one_line() -> None:
    """Whatever other threads and tasks are doing, and with no traceback."""
    process = ended(
        "import asyncio, threading\n"
        "from streams.errors import StartupError\n"
        "from streams.process.exits import die\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "async def main():\n"
        "    asyncio.create_task(asyncio.Event().wait())\n"
        "    die(StartupError('port 6066 is taken'))\n"
        "asyncio.run(main())\n"
    )
    assert process.returncode == EXIT_CANNOT_START
    assert process.stderr == "facestream cannot start: port 6066 is taken\n"


def test_a_stop_that_hangs_ends_the_process() -> None:
    """An orchestrator would kill it, and nobody would know why."""
    process = ended(
        "import threading\n"
        "from streams.process.exits import arm_hard_exit\n"
        "arm_hard_exit(0.1)\n"
        "threading.Event().wait()\n"
    )
    assert process.returncode == EXIT_STOP_TOOK_TOO_LONG
    assert "DRAIN_TIMEOUT_S" in process.stderr


def test_a_stop_that_does_not_hang_is_not_held_up() -> None:
    """The timer dies with the process."""
    process = ended("from streams.process.exits import arm_hard_exit\narm_hard_exit(3600)\n")
    assert (process.returncode, process.stderr) == (0, "")
