"""Probe the worker of this container: ``probe.py live|ready``, exit status 0 or 1.

Requests ``/health/live`` or ``/health/ready`` on the worker's web port. It imports only the
standard library, so that a probe takes 0.05 s and does not load the application. ``PORT``,
``WEB_HOST`` and ``API_TOKEN`` come from the container's environment.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4.0
EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


def ask(page: str) -> tuple[bool, str]:
    """Return whether the page answered with success, and its body."""
    host = os.environ.get("WEB_HOST", "")
    host = "127.0.0.1" if host in EVERYWHERE else host
    token = os.environ.get("API_TOKEN", "")
    request = urllib.request.Request(
        f"http://{f'[{host}]' if ':' in host else host}:{os.environ.get('PORT') or 6066}"
        f"/health/{page}",
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return True, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return False, f"{error.code} {error.read().decode(errors='replace')}"
    except OSError as error:
        return False, f"no answer: {error}"


if __name__ == "__main__":
    yes, said = ask(sys.argv[1] if len(sys.argv) > 1 else "live")
    print(said)
    raise SystemExit(0 if yes else 1)
