"""``make audit``: look up known vulnerabilities of the locked packages.

``audit.py PIP_AUDIT LOCK...`` asks the advisory services through pip-audit. Exit status: 0 if all
packages were looked up and none has a known vulnerability, 1 if one has, 2 if not all packages
could be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

NONE_KNOWN, VULNERABLE, NOT_ANSWERED = 0, 1, 2
#: Tried in this order until one answers.
SERVICES = ("pypi", "osv")


def audit(pip_audit: str, lock: Path) -> int:
    """Print the known vulnerabilities of a lock file, and return the exit status."""
    for service in SERVICES:
        ran = subprocess.run(  # noqa: S603 - pip-audit of the project's environment, no shell
            [
                pip_audit,
                "--requirement",
                str(lock),
                "--require-hashes",
                "--disable-pip",
                "--vulnerability-service",
                service,
                "--progress-spinner",
                "off",
                "--format",
                "json",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            packages = json.loads(ran.stdout)["dependencies"]
        except (ValueError, KeyError):
            reason = (ran.stderr.strip().splitlines() or [f"exit status {ran.returncode}"])[-1]
            print(f"{lock}: {service} could not be asked: {reason[:300]}", file=sys.stderr)
            continue
        if all("skip_reason" in package for package in packages):
            reason = packages[0]["skip_reason"] if packages else "it knows of no package"
            print(f"{lock}: {service} answered for no package: {reason}", file=sys.stderr)
            continue
        return _report(lock, service, packages)
    print(f"{lock}: NOT audited, no advisory service answers here", file=sys.stderr)
    return NOT_ANSWERED


def _report(lock: Path, service: str, packages: list[dict[str, Any]]) -> int:
    skipped = [package for package in packages if "skip_reason" in package]
    found = [(package, one) for package in packages for one in package.get("vulns", ())]
    if skipped:
        names = ", ".join(package["name"] for package in skipped)
        print(f"{lock}: NOT looked up: {names}", file=sys.stderr)
    for package, one in found:
        fixed = ", ".join(one.get("fix_versions", ())) or "no version yet"
        print(f"{lock}: {package['name']} {package['version']}: {one['id']}, fixed in {fixed}")
    print(
        f"{lock}: {len(packages) - len(skipped)} packages looked up at {service}, "
        f"{len(found)} known vulnerabilities"
    )
    if found:
        return VULNERABLE
    return NOT_ANSWERED if skipped else NONE_KNOWN


def main(arguments: list[str]) -> int:
    """Audit each lock file; a vulnerability takes precedence over an incomplete look-up."""
    pip_audit, *locks = arguments
    statuses = {audit(pip_audit, Path(lock)) for lock in locks}
    if VULNERABLE in statuses:
        return VULNERABLE
    return NOT_ANSWERED if NOT_ANSWERED in statuses else NONE_KNOWN


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
