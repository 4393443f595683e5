"""``python -m tools.kafka``: run an Apache Kafka broker in the foreground until Ctrl-C.

Its data and log are in a temporary folder, which is deleted at the end. ``KAFKA_PORT`` chooses
the port.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from streams.config.ports import port_is_taken
from streams.local.embedded_broker import free_port
from tools.kafka.apache_kafka import ApacheKafka
from tools.kafka.jars import NoKafkaHere


def main() -> int:
    """Run until SIGINT or SIGTERM, or until the broker ends by itself."""
    try:
        port = _port()
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="facestream-kafka-") as folder:
        kafka = ApacheKafka(Path(folder), port=port, heap_mb=512)
        try:
            print("starting Apache Kafka …", file=sys.stderr)
            with kafka:
                print(f"KAFKA_BOOTSTRAP_SERVERS={kafka.address()}", flush=True)
                print(f"log: {kafka.nodes[0].log_file}; stop with Ctrl-C", file=sys.stderr)
                return kafka.nodes[0].wait()
        except NoKafkaHere as reason:
            print(f"cannot run Apache Kafka: {reason}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0


def _port() -> int:
    """Return the port to listen on. Raises ``ValueError`` for one that cannot be used."""
    chosen = os.environ.get("KAFKA_PORT")
    if not chosen:
        return free_port()
    if not (chosen.isdecimal() and 0 < int(chosen) < 65536):
        raise ValueError(f"KAFKA_PORT={chosen}: expected a port number")
    if port_is_taken("127.0.0.1", int(chosen)):
        raise ValueError(f"port {chosen} is in use; set KAFKA_PORT to another")
    return int(chosen)


if __name__ == "__main__":
    raise SystemExit(main())
