"""``python -m tools.kafka``: an Apache Kafka broker in the foreground, until Ctrl-C.

Its log is kept in a temporary folder and goes with it. ``KAFKA_PORT`` chooses the port.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from streams.local.embedded_broker import free_port, port_is_taken
from tools.kafka.apache_kafka import ApacheKafka
from tools.kafka.jars import NoKafkaHere


def main() -> int:
    """Run until SIGINT or SIGTERM, or until the broker ends by itself."""
    chosen = os.environ.get("KAFKA_PORT")
    if chosen and not (chosen.isdecimal() and 0 < int(chosen) < 65536):
        print(f"KAFKA_PORT={chosen}: expected a port number", file=sys.stderr)
        return 1
    port = int(chosen) if chosen else free_port()
    if port_is_taken("127.0.0.1", port):
        print(f"port {port} is taken; choose another by KAFKA_PORT", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="facestream-kafka-") as folder:
        kafka = ApacheKafka(Path(folder), port=port, heap_mb=512)
        try:
            print("starting Apache Kafka …", file=sys.stderr)
            with kafka:
                print(f"KAFKA_BOOTSTRAP_SERVERS={kafka.address()}", flush=True)
                print(f"log: {kafka.nodes[0].log_file}; Ctrl-C stops it", file=sys.stderr)
                return kafka.nodes[0].wait()
        except NoKafkaHere as reason:
            print(f"no Apache Kafka here: {reason}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    raise SystemExit(main())
