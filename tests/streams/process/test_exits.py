"""Ending the process: each test runs a real one."""

from __future__ import annotations

import subprocess
import sys

from streams.process.exits import EXIT_CANNOT_START, EXIT_STOP_TOOK_TOO_LONG


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a new Python process until it ends."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )


def test_die_ends_the_process_with_one_line() -> None:
    """It waits for no thread or task and prints no traceback."""
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


def test_a_hanging_stop_ends_at_the_deadline() -> None:
    """An orchestrator would kill the process without giving a reason."""
    process = ended(
        "import threading\n"
        "from streams.process.exits import arm_hard_exit\n"
        "arm_hard_exit(0.1)\n"
        "threading.Event().wait()\n"
    )
    assert process.returncode == EXIT_STOP_TOOK_TOO_LONG
    assert "DRAIN_TIMEOUT_S" in process.stderr


def test_a_stop_in_time_does_not_wait_for_the_deadline() -> None:
    """The timer is a daemon thread."""
    process = ended("from streams.process.exits import arm_hard_exit\narm_hard_exit(3600)\n")
    assert (process.returncode, process.stderr) == (0, "")
