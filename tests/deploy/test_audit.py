"""``make audit`` reports "none known" only when an advisory service answered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import ROOT

SOUND = {"name": "sound", "version": "1.0", "vulns": []}
SKIPPED = {"name": "unknown", "skip_reason": "not found"}
VULNERABLE = {
    "name": "leaky",
    "version": "2.0",
    "vulns": [{"id": "GHSA-x", "fix_versions": ["2.1"], "aliases": []}],
}


def audit(folder: Path, answers: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the audit with a fake pip-audit that fails for every service not in ``answers``."""
    fake = folder / "pip-audit"
    fake.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        f"answers = json.loads({json.dumps(answers)!r})\n"
        "service = sys.argv[sys.argv.index('--vulnerability-service') + 1]\n"
        "if service not in answers: sys.exit('Traceback\\nConnectionError: no route')\n"
        "print(json.dumps({'dependencies': answers[service]}))\n"
        "sys.exit(any(one.get('vulns') for one in answers[service]))\n"
    )
    fake.chmod(0o755)
    return subprocess.run(
        [sys.executable, "deploy/audit.py", str(fake), "locks/dev.lock"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        ({"pypi": [SOUND]}, 0, "1 packages looked up at pypi, 0 known"),
        ({"pypi": [SOUND, VULNERABLE]}, 1, "leaky 2.0: GHSA-x, fixed in 2.1"),
        ({"pypi": [SOUND, SKIPPED]}, 2, "NOT looked up: unknown"),
        ({"pypi": [SKIPPED, VULNERABLE]}, 1, "NOT looked up: unknown"),
        ({"osv": [SOUND]}, 0, "1 packages looked up at osv"),
        ({"pypi": [SKIPPED], "osv": [SOUND]}, 0, "pypi answered for no package"),
        ({}, 2, "NOT audited, no advisory service answers here"),
        ({"pypi": [SKIPPED]}, 2, "osv could not be asked: ConnectionError: no route"),
    ],
    ids=["sound", "vulnerable", "partly", "both", "other-service", "fallback", "away", "neither"],
)
def test_the_exit_status_distinguishes_unanswered_from_none_known(
    answers: dict[str, Any], status: int, said: str, tmp_path: Path
) -> None:
    """0: all packages looked up, none vulnerable; 1: one is vulnerable; 2: not all looked up."""
    ran = audit(tmp_path, answers)
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert said in ran.stdout + ran.stderr
