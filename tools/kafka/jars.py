"""The jars of an Apache Kafka broker: Maven resolves them once, the class path is kept.

``python -m tools.kafka.jars`` says on stderr why no broker can be had here, and exits with 1.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
BUILD = Path(__file__).parents[2] / "build"
#: A Kafka 4 broker needs it.
JAVA_VERSION = 17
#: A first resolution fetches about 45 MB.
MAVEN_TIMEOUT_S = 180


class NoKafkaHere(Exception):
    """This machine cannot run an Apache Kafka broker; the message says why."""


@cache
def java() -> str:
    """The ``java`` to use. Raises ``NoKafkaHere`` when there is none that is new enough."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if found is None:
        raise NoKafkaHere("java is not installed")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA_VERSION:
        raise NoKafkaHere(f"Kafka needs Java {JAVA_VERSION} or newer, {found} says: {said.strip()}")
    return found


@cache
def class_path() -> str:
    """The class path of a broker. Raises ``NoKafkaHere`` when Maven is not there or fails."""
    java()
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    kept = BUILD / f"kafka-{digest}.classpath"
    if kept.exists():
        jars = kept.read_text().strip()
        if all(Path(jar).exists() for jar in jars.split(os.pathsep)):
            return jars
    BUILD.mkdir(exist_ok=True)
    # Two test processes may be here at once; the rename lets either one win.
    mine = kept.with_suffix(f".{os.getpid()}")
    _maven(mine)
    mine.replace(kept)
    return kept.read_text().strip()


def _maven(output: Path) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise NoKafkaHere("mvn is not installed")
    try:
        done = subprocess.run(
            [
                *(mvn, "-B", "-q", "-Dstyle.color=never", "-f", str(POM)),
                *("dependency:build-classpath", f"-Dmdep.outputFile={output}"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=MAVEN_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise NoKafkaHere(f"mvn did not end within {MAVEN_TIMEOUT_S} s") from None
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise NoKafkaHere(f"mvn could not resolve Kafka's jars: {(errors or [done.stderr])[0]}")


def main() -> int:
    """Resolve the jars, or say why not."""
    try:
        class_path()
    except NoKafkaHere as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
