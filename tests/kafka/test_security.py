"""TLS and SASL: workers and clients connect, or report the reason why they cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streams.local.worker_process import WorkerProcess
from streams.process.exits import EXIT_CANNOT_START
from tests.integration.stack import Stack, answers_for, image_event, wait_until
from tests.kafka.certificates import Authority, Certificate, encrypted
from tools.brokers import unused_names
from tools.kafka.apache_kafka import ApacheKafka
from tools.pictures import portrait_bytes

USER, PASSWORD, KEY_PASSWORD = "grace", "a nanosecond is 30 cm", "opens the key"
JAAS = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecureKafka:
    """A broker with one listener per security protocol, and the credentials for it."""

    kafka: ApacheKafka
    ca_file: Path
    other_ca_file: Path
    client: Certificate
    locked_key: Path


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A broker that requires client certificates for TLS, and a user for SASL."""
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder / "authority")
    client = authority.sign("client")
    server = folder / "server.pem"
    server.write_text(authority.sign("broker", address="127.0.0.1").bundle)
    scram = f"{JAAS}.scram.ScramLoginModule required;"
    plain = f'{JAAS}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.ca_file),
        "listener.name.tls.ssl.client.auth": "required",
    }
    for listener in ("sasl_tls", "sasl_open"):
        prefix = f"listener.name.{listener}"
        properties |= {
            f"{prefix}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f"{prefix}.plain.sasl.jaas.config": plain,
            f"{prefix}.scram-sha-256.sasl.jaas.config": scram,
            f"{prefix}.scram-sha-512.sasl.jaas.config": scram,
        }
    protocols = {"TLS": "SSL", "SASL_TLS": "SASL_SSL", "SASL_OPEN": "SASL_PLAINTEXT"}
    with ApacheKafka(
        folder / "kafka",
        properties=properties,
        protocols=protocols,
        scram_users={USER: PASSWORD},
    ) as running:
        yield SecureKafka(
            running,
            authority.ca_file,
            Authority(folder / "other").ca_file,
            client,
            encrypted(client.key_file, KEY_PASSWORD),
        )


def stack_for(secure: SecureKafka, folder: Path, listener: str, **settings: str | Path) -> Stack:
    """Return a stack on one of the listeners."""
    broker = unused_names(secure.kafka)
    text = {name: str(value) for name, value in settings.items()}
    return Stack(folder, secure.kafka.address(listener), {**broker.environment, **text})


def tls(secure: SecureKafka) -> dict[str, str | Path]:
    return {
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CA_FILE": secure.ca_file,
        "KAFKA_SSL_CERT_FILE": secure.client.cert_file,
        "KAFKA_SSL_KEY_FILE": secure.locked_key,
        "KAFKA_SSL_KEY_PASSWORD": KEY_PASSWORD,
    }


def sasl(secure: SecureKafka, protocol: str, mechanism: str) -> dict[str, str | Path]:
    settings: dict[str, str | Path] = {
        "KAFKA_SECURITY_PROTOCOL": protocol,
        "KAFKA_SASL_MECHANISM": mechanism,
        "KAFKA_SASL_USERNAME": USER,
        "KAFKA_SASL_PASSWORD": PASSWORD,
    }
    return settings | ({"KAFKA_SSL_CA_FILE": secure.ca_file} if protocol == "SASL_SSL" else {})


def log_of(worker: WorkerProcess) -> str:
    assert worker.log_file is not None
    return worker.log_file.read_text()


@pytest.mark.parametrize(
    ("listener", "protocol", "mechanism"),
    [
        ("TLS", "SSL", ""),
        ("SASL_TLS", "SASL_SSL", "SCRAM-SHA-512"),
        pytest.param("SASL_TLS", "SASL_SSL", "PLAIN", marks=pytest.mark.long),
        pytest.param("SASL_OPEN", "SASL_PLAINTEXT", "SCRAM-SHA-256", marks=pytest.mark.long),
    ],
)
async def test_a_picture_is_scored_through_a_secured_listener(
    secure: SecureKafka, tmp_path: Path, listener: str, protocol: str, mechanism: str
) -> None:
    """Worker, clients and topic creation connect, and the worker's log holds no secret."""
    settings = sasl(secure, protocol, mechanism) if mechanism else tls(secure)
    stack = stack_for(secure, tmp_path, listener, **settings)
    with stack.worker() as worker:
        event = image_event("grace", portrait_bytes())
        async with stack.submitter() as submitter, stack.reader(stack.topics.scored_face) as reader:
            await submitter.submit(event)
            faces = (await answers_for(reader, {event.event_id}))[event.event_id]
        assert faces[0].provenance == "real"
        assert worker.stop() == 0
        log = log_of(worker)
    assert protocol in log
    assert PASSWORD not in log
    assert KEY_PASSWORD not in log


def test_a_wrong_password_is_reported(secure: SecureKafka, tmp_path: Path) -> None:
    """The worker waits, as the cluster may get the password later, and logs the reason."""
    settings = {**sasl(secure, "SASL_SSL", "SCRAM-SHA-512"), "KAFKA_SASL_PASSWORD": "guess"}
    stack = stack_for(secure, tmp_path, "SASL_TLS", **settings)
    with stack.worker(wait=False) as worker:
        wait_until(lambda: "waiting for the broker" in log_of(worker), "the reason is logged")
        assert "invalid credentials" in log_of(worker)
        assert "guess" not in log_of(worker)


def test_a_broker_with_an_unknown_authority_is_refused(secure: SecureKafka, tmp_path: Path) -> None:
    """The worker does not connect, and logs the reason."""
    settings = {**tls(secure), "KAFKA_SSL_CA_FILE": secure.other_ca_file}
    stack = stack_for(secure, tmp_path, "TLS", **settings)
    with stack.worker(wait=False) as worker:
        wait_until(lambda: "waiting for the broker" in log_of(worker), "the reason is logged")
        assert "certificate verify failed" in log_of(worker)


def test_a_wrong_key_password_names_its_setting(secure: SecureKafka, tmp_path: Path) -> None:
    """The worker ends at once, and does not prompt for a password."""
    settings = {**tls(secure), "KAFKA_SSL_KEY_PASSWORD": ""}
    stack = stack_for(secure, tmp_path, "TLS", **settings)
    with stack.worker(wait=False) as worker:
        wait_until(lambda: worker.poll() is not None, "the worker ends")
        assert worker.poll() == EXIT_CANNOT_START
        assert "KAFKA_SSL_KEY_PASSWORD" in log_of(worker)
        assert "Traceback" not in log_of(worker)
