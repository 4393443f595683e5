"""Apache Kafka (KRaft, without ZooKeeper or containers) as child processes, for tests.

A cluster has one node or several, each of them broker and controller. The nodes keep their state
in the cluster's folder when they are stopped or killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from streams.local.embedded_broker import free_port
from tools.kafka.node import KafkaNode

PLAIN = "PLAIN"
CONTROLLER = "CONTROLLER"

#: The port of each node's listeners, by the node's number and the listener's name.
Ports = Mapping[tuple[int, str], int]

#: Properties of every node, beside its own addresses.
PROPERTIES = {
    "process.roles": "broker,controller",
    "controller.listener.names": CONTROLLER,
    "inter.broker.listener.name": PLAIN,
    "offsets.topic.num.partitions": "4",
    # Managed clusters often disable it, so the project must not depend on it.
    "auto.create.topics.enable": "false",
    # Kafka's default: wait 3 s for more members at the first join, and accept session time-outs
    # from 6 s.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # Kafka's default: look for something to compact every 15 s.
    "log.cleaner.backoff.ms": "300",
    # Kafka's default: fence a silent broker after 9 s.
    "broker.session.timeout.ms": "6000",
}


class ApacheKafka:
    """A cluster on loopback; use it as a context manager.

    ``properties`` are added to every node's ``server.properties``. ``protocols`` adds listeners:
    name to security protocol. ``advertised_port`` sends the clients of a single node to a proxy.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        port: int | None = None,
        advertised_port: int | None = None,
        properties: Mapping[str, str] | None = None,
        protocols: Mapping[str, str] | None = None,
        scram_users: Mapping[str, str] | None = None,
        heap_mb: int = 320,
    ) -> None:
        numbers = range(1, nodes + 1)
        listeners = {PLAIN: "PLAINTEXT", **(protocols or {})}
        self._ports = {
            (number, name): free_port() for number in numbers for name in (*listeners, CONTROLLER)
        }
        if port is not None:
            self._ports[1, PLAIN] = port
        advertised = dict(self._ports)
        if advertised_port is not None:
            advertised[1, PLAIN] = advertised_port
        shared = {**PROPERTIES, **_replication(nodes), "controller.quorum.voters": self._voters()}
        shared["listener.security.protocol.map"] = ",".join(
            f"{name}:{protocol}"
            for name, protocol in (*listeners.items(), (CONTROLLER, "PLAINTEXT"))
        )
        self.nodes = [
            KafkaNode(
                folder / f"node-{number}",
                {
                    **shared,
                    "node.id": str(number),
                    "listeners": _addresses(self._ports, number, (*listeners, CONTROLLER)),
                    "advertised.listeners": _addresses(advertised, number, listeners),
                    **(properties or {}),
                },
                port=self._ports[number, PLAIN],
                heap_mb=heap_mb,
                scram_users=scram_users,
            )
            for number in numbers
        ]

    def _voters(self) -> str:
        return ",".join(
            f"{number}@127.0.0.1:{port}"
            for (number, name), port in self._ports.items()
            if name == CONTROLLER
        )

    def address(self, listener: str = PLAIN) -> str:
        """Return ``host:port`` of every node's listener, for clients."""
        return ",".join(
            f"127.0.0.1:{self._ports[number, listener]}" for number in range(1, len(self.nodes) + 1)
        )

    def start(self) -> ApacheKafka:
        """Start every node that is down, and wait until all accept connections."""
        for node in self.nodes:
            if not node.is_running:
                node.launch()
        for node in self.nodes:
            node.wait_open()
        return self

    def stop(self) -> None:
        """Stop the first node cleanly and kill the others, which may lack a quorum by then."""
        self.nodes[0].stop()
        for node in self.nodes[1:]:
            node.kill()

    def __enter__(self) -> ApacheKafka:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _replication(nodes: int) -> dict[str, str]:
    """Return the properties for internal topics that survive the loss of one node in three."""
    replicas, in_sync = str(min(nodes, 3)), str(min(nodes, 2))
    return {
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _addresses(ports: Ports, number: int, listeners: Iterable[str]) -> str:
    return ",".join(f"{name}://127.0.0.1:{ports[number, name]}" for name in listeners)
