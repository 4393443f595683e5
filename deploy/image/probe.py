"""Is the worker of this container live, or ready? ``probe.py live|ready``, exit status 0 or 1.

Asks ``/health/live`` or ``/health/ready`` on the worker's own web port. Only the standard library
is imported, so that a probe costs a twentieth of a second and not the start of the whole
application; what it must know (PORT, WEB_HOST, API_TOKEN) it takes from the container's
environment, as the worker does.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4.0
EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


def ask(page: str) -> tuple[bool, str]:
    """Whether the page says yes, and what it said."""
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
