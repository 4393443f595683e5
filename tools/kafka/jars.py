"""The jars of an Apache Kafka broker: Maven resolves them once, then the class path is cached.

``python -m tools.kafka.jars`` exits with 1 where no broker can run, and prints why on stderr.
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
#: The oldest Java that runs a Kafka 4 broker.
JAVA_VERSION = 17
#: The first resolution downloads about 45 MB.
MAVEN_TIMEOUT_S = 180


class NoKafkaHere(Exception):
    """This machine cannot run an Apache Kafka broker; the message names the reason."""


@cache
def java() -> str:
    """Return the path of ``java``. Raises ``NoKafkaHere`` when it is missing or too old."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if found is None:
        raise NoKafkaHere("java is not installed")
    shown = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', shown)
    if version is None or int(version[1]) < JAVA_VERSION:
        raise NoKafkaHere(f"Kafka needs Java {JAVA_VERSION} or newer; {found} is {shown.strip()}")
    return found


@cache
def class_path() -> str:
    """Return the class path of a broker. Raises ``NoKafkaHere`` when Maven is missing or fails."""
    java()
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    cached = BUILD / f"kafka-{digest}.classpath"
    if cached.exists():
        jars = cached.read_text().strip()
        if all(Path(jar).exists() for jar in jars.split(os.pathsep)):
            return jars
    BUILD.mkdir(exist_ok=True)
    # Two test processes may resolve at once; a rename is atomic, so either file is whole.
    mine = cached.with_suffix(f".{os.getpid()}")
    _maven(mine)
    mine.replace(cached)
    return cached.read_text().strip()


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
        raise NoKafkaHere(f"mvn did not finish within {MAVEN_TIMEOUT_S} s") from None
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise NoKafkaHere(f"mvn could not resolve Kafka's jars: {(errors or [done.stderr])[0]}")


def main() -> int:
    """Resolve the jars, or print why that is not possible."""
    try:
        class_path()
    except NoKafkaHere as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
