"""deploy/kubernetes/: each document has the form that Kubernetes publishes, and what they name in each other exists."""

import importlib.metadata
import ipaddress
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from release_catalog.cli.serve import MAX_GRACE_SECONDS
from support import dockerfile

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
NAMESPACE = "release-catalog"
BY_HAND = {"migration-job.yaml"}
# The oldest one that its makers still mend, and the newest with a schema here.
VERSIONS = ["1.33", kubernetes_validate.latest_version()]
DOCUMENTS: list[dict[str, Any]] = [
    document
    for file in sorted(FOLDER.glob("*.yaml"))
    if file.name != "kustomization.yaml"
    for document in yaml.safe_load_all(file.read_text())
]


def name_of(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    return f"{document['kind']}/{metadata.get('name') or metadata['generateName']}"


def the(kind: str, name: str = "release-catalog") -> dict[str, Any]:
    [found] = [document for document in DOCUMENTS if name_of(document) == f"{kind}/{name}"]
    return found


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    """The template of the pods that a workload starts."""
    spec = document["spec"]
    template: dict[str, Any] = (spec.get("jobTemplate", {}).get("spec") or spec)["template"]
    return template


WORKLOADS = [document for document in DOCUMENTS if document["kind"] in {"Deployment", "Job", "CronJob"}]
API = pod_of(the("Deployment"))
[CONTAINER] = API["spec"]["containers"]
each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels", selector)
    return wanted.items() <= labels.items()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_document_has_the_form_that_kubernetes_publishes(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_a_slip_is_noticed() -> None:
    wrong = {**the("Service"), "spec": {**the("Service")["spec"], "selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_kustomization_has_each_file_but_those_that_are_started_by_hand() -> None:
    files = {file.name for file in FOLDER.iterdir()} - {"kustomization.yaml"}
    assert {Path(file).suffix for file in files} == {".yaml"}
    assert set(KUSTOMIZATION["resources"]) == files - BY_HAND
    assert set(KUSTOMIZATION) == {"apiVersion", "kind", "namespace", "resources", "images"}
    assert KUSTOMIZATION["namespace"] == NAMESPACE
    for document in DOCUMENTS:
        if document["kind"] == "Namespace":
            assert document["metadata"]["name"] == NAMESPACE
        else:
            assert document["metadata"]["namespace"] == NAMESPACE


def test_each_workload_runs_the_same_image() -> None:
    [image] = KUSTOMIZATION["images"]
    images = {name_of(workload): pod_of(workload)["spec"]["containers"][0]["image"] for workload in WORKLOADS}
    by_hand = f"{image['newName']}:{image['newTag']}"
    assert image["newTag"] == importlib.metadata.version("release-catalog")
    assert by_hand in (FOLDER.parents[1] / "docs/deployment.md").read_text()
    assert images == {
        "Deployment/release-catalog": image["name"],
        "CronJob/release-catalog-backup": image["name"],
        "Job/release-catalog-migration-": by_hand,
    }


@each_workload
def test_a_pod_is_restricted(workload: dict[str, Any]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, which the namespace enforces."""
    labels = the("Namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    spec = pod_of(workload)["spec"]
    [user] = [step.text for step in dockerfile.steps() if step.instruction == "USER"]
    number = int(user.split(":")[0])
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": number,
        "runAsGroup": number,
        "fsGroup": number,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


@each_workload
def test_a_pod_names_only_what_exists(workload: dict[str, Any]) -> None:
    spec = pod_of(workload)["spec"]
    assert the("ServiceAccount", spec["serviceAccountName"])["automountServiceAccountToken"] is False
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for container in spec["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
        for source in container["envFrom"]:
            assert the("ConfigMap", source["configMapRef"]["name"])
    # Files of the settings lie in the secret: a secret in the environment shows up wherever the environment does.
    [secrets] = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "secrets"]
    for name, value in the("ConfigMap")["data"].items():
        if name.endswith("_FILE"):
            assert Path(value).parent == Path(secrets["mountPath"])
    assert volumes["secrets"]["secret"] == {"secretName": "release-catalog", "defaultMode": 0o440}
    for volume in volumes.values():
        if claim := volume.get("persistentVolumeClaim"):
            assert the("PersistentVolumeClaim", claim["claimName"])


def test_selectors_find_their_pods() -> None:
    api = API["metadata"]["labels"]
    assert selects(the("Deployment")["spec"]["selector"], api)
    assert selects(the("PodDisruptionBudget")["spec"]["selector"], api)
    assert selects(the("Service")["spec"]["selector"], api)
    for spread in API["spec"]["topologySpreadConstraints"]:
        assert selects(spread["labelSelector"], api)
    for workload in WORKLOADS:
        labels = pod_of(workload)["metadata"]["labels"]
        assert selects(the("NetworkPolicy", "release-catalog-database")["spec"]["podSelector"], labels)
        is_api = workload["kind"] == "Deployment"
        assert selects(the("NetworkPolicy", "release-catalog-api")["spec"]["podSelector"], labels) == is_api
        assert selects(the("Service")["spec"]["selector"], labels) == is_api


def test_ports_are_those_of_the_server() -> None:
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    [exposed] = [step.text for step in dockerfile.steps() if step.instruction == "EXPOSE"]
    metrics = int(the("ConfigMap")["data"]["RELEASE_CATALOG_METRICS_PORT"])
    assert ports == {"http": int(exposed), "metrics": metrics}
    assert [port["targetPort"] for port in the("Service")["spec"]["ports"]] == list(ports)
    ingress = the("NetworkPolicy", "release-catalog-api")["spec"]["ingress"]
    assert [rule["ports"][0]["port"] for rule in ingress] == list(ports)
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert CONTAINER[probe]["httpGet"] == {"path": path, "port": "http"}


def test_an_upgrade_refuses_no_request() -> None:
    spec = the("Deployment")["spec"]
    assert spec["replicas"] > 1
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    sleep, seconds = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    assert API["spec"]["terminationGracePeriodSeconds"] >= int(seconds) + MAX_GRACE_SECONDS + 5


def test_a_start_may_wait_for_the_database() -> None:
    waits = float(the("ConfigMap")["data"]["RELEASE_CATALOG_DATABASE_WAIT_SECONDS"])
    startup = CONTAINER["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > waits


def test_the_api_reaches_public_addresses_only() -> None:
    rules = the("NetworkPolicy", "release-catalog-api")["spec"]["egress"]
    blocks = [target["ipBlock"] for rule in rules for target in rule["to"]]
    closed = [ipaddress.ip_network(text) for block in blocks for text in block["except"]]
    for address in (
        *("169.254.169.254", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.100.100.200", "127.0.0.1", "0.0.0.0"),
        *("fd00:ec2::254", "fe80::1", "::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    ):
        ip = ipaddress.ip_address(address)
        assert any(ip.version == network.version and ip in network for network in closed), address
    for address in ("1.1.1.1", "2606:4700::1"):
        ip = ipaddress.ip_address(address)
        assert not any(ip.version == network.version and ip in network for network in closed), address
    assert [port["port"] for rule in rules for port in rule["ports"]] == [443, 80]


def test_other_pods_reach_the_database_and_dns_only() -> None:
    policy = the("NetworkPolicy", "release-catalog-database")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert [sorted({port["port"] for port in rule["ports"]}) for rule in policy["egress"]] == [[53], [27017]]
