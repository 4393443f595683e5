"""The Kubernetes manifests are valid and hardened, and let a worker drain before it is killed."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from streams.config.settings import Settings, pinned_settings
from streams.kafka.topics import topic_names
from tests.deploy.files import MANIFESTS, manifest, manifests, our_pods, pod_environment, sample

#: API groups outside Kubernetes. No published package has strict schemas of KEDA's and kustomize's
#: kinds, so the tests below check the contents of these manifests.
OTHERS = ("keda.sh/", "kustomize.config.k8s.io/")
STANDARD = [
    pytest.param(one, id=f"{one['kind']}:{one['metadata']['name']}")
    for _, one in manifests()
    if not one["apiVersion"].startswith(OTHERS)
]
PODS = [pytest.param(pod, id=name) for name, pod in our_pods()]
LABELS = {"app.kubernetes.io/name": "facestream", "app.kubernetes.io/component": "worker"}


@pytest.mark.parametrize("version", ["1.32", "1.37"])
@pytest.mark.parametrize("one", STANDARD)
def test_a_manifest_is_valid_by_the_schemas_of_kubernetes(
    one: dict[str, Any], version: str
) -> None:
    """It has no unknown field and no wrong type, in an older and in a current version."""
    kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_reject_an_unknown_field() -> None:
    """The test above would otherwise prove nothing."""
    broken = {"apiVersion": "v1", "kind": "ServiceAccount", "automount": False}
    with pytest.raises(kubernetes_validate.ValidationError, match="automount"):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_kustomize_lists_each_manifest_that_all_clusters_need() -> None:
    """A new file must be listed here or there."""
    (kustomization,) = (one for _, one in manifests() if one["kind"] == "Kustomization")
    left_out = {"kustomization.yaml", "secret.example.yaml", "scaled-object.yaml"}
    assert set(MANIFESTS) == set(kustomization["resources"]) | left_out
    assert {image["name"] for image in kustomization["images"]} == {"facestream"}


def test_all_objects_are_in_one_restricted_namespace() -> None:
    """The namespace enforces the Pod Security Standard "restricted"."""
    for name, one in manifests():
        if one["kind"] not in ("Namespace", "Kustomization"):
            assert one["metadata"]["namespace"] == "facestream", name
    labels = manifest("Namespace", "facestream")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("pod", PODS)
def test_pods_have_no_root_privileges_and_write_only_to_tmp(pod: dict[str, Any]) -> None:
    """They satisfy the Pod Security Standard "restricted" and have a read-only root."""
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("pod", PODS)
def test_other_services_do_not_inject_settings(pod: dict[str, Any]) -> None:
    """Service links of a service named ``kafka`` would set ``KAFKA_PORT=tcp://…``."""
    assert pod["enableServiceLinks"] is False


def test_the_kubelet_waits_longer_than_the_worker_drains() -> None:
    """The preStop pause and the worker's own stop timeout end before SIGKILL."""
    pod = manifest("Deployment", "worker")["spec"]["template"]["spec"]
    drain = pod_environment(pod).get("DRAIN_TIMEOUT_S")
    given = {} if drain is None else {"drain_timeout_s": drain}
    stop_timeout_s = pinned_settings(**given).stop_timeout_s
    (container,) = pod["containers"]
    pre_stop_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pre_stop_s + stop_timeout_s + 10


def test_a_rollout_replaces_one_worker_at_a_time_with_ten_seconds_between() -> None:
    """The older plan's compose file does the same."""
    spec = manifest("Deployment", "worker")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["minReadySeconds"] == 10
    assert spec["replicas"] == 3


def test_probes_request_the_health_pages() -> None:
    """Liveness needs no token; readiness takes its token from the environment."""
    (container,) = manifest("Deployment", "worker")["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health/live", "port": "http"}
    assert container["readinessProbe"]["exec"]["command"][-1] == "ready"
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 900


def test_ports_of_services_and_policy_are_those_the_worker_listens_on() -> None:
    """Services and the network policy list ``PORT`` and ``LEGACY_PORTS``."""
    pod = manifest("Deployment", "worker")["spec"]["template"]["spec"]
    environment = pod_environment(pod)
    listening = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    legacy = [int(port) for port in environment["LEGACY_PORTS"].split(",")]
    assert list(listening.values()) == [int(environment["PORT"]), *legacy]
    services = [one for _, one in manifests() if one["kind"] == "Service"]
    assert len(services) == 3
    for service in services:
        (port,) = service["spec"]["ports"]
        assert listening[port["targetPort"]] == port["port"]
        assert service["spec"]["selector"] == LABELS
    (rule,) = manifest("NetworkPolicy", "worker")["spec"]["ingress"]
    assert {port["port"] for port in rule["ports"]} == set(listening)


def test_draining_a_node_stops_one_worker_at_a_time() -> None:
    """The disruption budget selects the pods of the Deployment."""
    spec = manifest("PodDisruptionBudget", "worker")["spec"]
    assert spec == {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}
    pod_labels = manifest("Deployment", "worker")["spec"]["template"]["metadata"]["labels"]
    assert pod_labels == LABELS


def test_keda_scales_the_worker_on_the_lag_of_its_own_group_and_topics() -> None:
    """Brokers, group, topics and the maximum of replicas match the settings."""
    spec = manifest("ScaledObject", "worker")["spec"]
    pod = manifest("Deployment", "worker")["spec"]["template"]["spec"]
    environment = pod_environment(pod)
    assert spec["scaleTargetRef"] == {"name": "worker"}
    assert spec["maxReplicaCount"] == int(environment["KAFKA_PARTITIONS"])
    assert spec["minReplicaCount"] == manifest("Deployment", "worker")["spec"]["replicas"]
    settings = Settings()
    names = topic_names(settings)
    assert [trigger["type"] for trigger in spec["triggers"]] == ["kafka", "kafka"]
    asked = [trigger["metadata"] for trigger in spec["triggers"]]
    assert [one["topic"] for one in asked] == [names.image_submitted, names.scored_face]
    for one in asked:
        assert one["bootstrapServers"] == environment["KAFKA_BOOTSTRAP_SERVERS"]
        assert one["consumerGroup"] == environment.get("KAFKA_GROUP_ID", settings.kafka_group_id)
        assert one["offsetResetPolicy"] == "earliest"
        assert one["allowIdleConsumers"] == "true"
        assert one["sasl"].replace("_", "-").upper() == "SCRAM-SHA512"
        assert environment["KAFKA_SASL_MECHANISM"] == "SCRAM-SHA-512"
        assert (one["tls"] == "enable") == ("SSL" in environment["KAFKA_SECURITY_PROTOCOL"])
        assert all(isinstance(value, str) for value in one.values())
    for trigger in spec["triggers"]:
        authentication = manifest("TriggerAuthentication", trigger["authenticationRef"]["name"])
        given = authentication["spec"]
        (user,) = given["configMapTargetRef"]
        (password,) = given["secretTargetRef"]
        assert manifest("ConfigMap", user["name"])["data"][user["key"]] == "facestream"
        assert password["key"] in manifest("Secret", password["name"])["stringData"]


def test_the_config_map_contains_the_production_sample() -> None:
    """The two describe the same environment."""
    data = manifest("ConfigMap", "facestream")["data"]
    assert sample(".env.production").items() <= data.items()
