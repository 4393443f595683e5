"""Apache Kafka (KRaft, no ZooKeeper, no container) as child processes, for tests.

One node or several; each is broker and controller at once. Their state outlives a stop or a kill,
in the folder that they were given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from streams.local.embedded_broker import free_port
from tools.kafka.node import KafkaNode


class ApacheKafka:
    """A cluster on loopback; use it as a context manager.

    ``properties`` are added to every node's ``server.properties``. ``protocols`` adds listeners
    that speak otherwise than in plain text: a name, and its security protocol. ``advertised_port``
    sends clients of a single node to a proxy before it.
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
        listeners = {"PLAIN": "PLAINTEXT", **(protocols or {})}
        self._ports = {
            (number, name): free_port() for number in numbers for name in (*listeners, "CONTROLLER")
        }
        if port is not None:
            self._ports[1, "PLAIN"] = port
        advertised = dict(self._ports)
        if advertised_port is not None:
            advertised[1, "PLAIN"] = advertised_port
        replicas = str(min(nodes, 3))
        in_sync = str(min(nodes, 2))
        shared = {
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(
                f"{number}@127.0.0.1:{self._ports[number, 'CONTROLLER']}" for number in numbers
            ),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAIN",
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}"
                for name, protocol in {**listeners, "CONTROLLER": "PLAINTEXT"}.items()
            ),
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            # As a cluster under management is set up; ours must not lean on it.
            "auto.create.topics.enable": "false",
            # Stock: 3 s wait for more members at the first join, 6 s least session time-out.
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # Stock: 15 s between two looks for something to compact.
            "log.cleaner.backoff.ms": "300",
            # Stock: 9 s until a silent broker is fenced.
            "broker.session.timeout.ms": "6000",
            **(properties or {}),
        }
        self.nodes = [
            KafkaNode(
                folder / f"node-{number}",
                {
                    "node.id": str(number),
                    "listeners": _addresses(self._ports, number, *listeners, "CONTROLLER"),
                    "advertised.listeners": _addresses(advertised, number, *listeners),
                    **shared,
                },
                port=self._ports[number, "PLAIN"],
                heap_mb=heap_mb,
                scram_users=scram_users,
            )
            for number in numbers
        ]

    def address(self, listener: str = "PLAIN") -> str:
        """``host:port`` of every node's listener, for clients."""
        return ",".join(
            f"127.0.0.1:{self._ports[number, listener]}" for number in range(1, len(self.nodes) + 1)
        )

    def start(self) -> ApacheKafka:
        """Start every node that is down, and wait until all are open."""
        for node in self.nodes:
            if not node.is_running:
                node.launch()
        for node in self.nodes:
            node.wait_open()
        return self

    def stop(self) -> None:
        """Stop every node, the last ones by force: they may have no quorum left to leave."""
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


def _addresses(ports: Mapping[tuple[int, str], int], number: int, *listeners: str) -> str:
    return ",".join(f"{name}://127.0.0.1:{ports[number, name]}" for name in listeners)
