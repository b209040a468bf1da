"""Which values does the chart take?  Its schema follows from values.yaml and from the table of options:
`python tools/chart_schema.py deploy/helm/bastion`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from bastion.settings.reference import schema as of_configuration

# Options that follow from other values of the chart, which wins as a flag: they are refused in `config`.
OWNED = {
    "source": {"kubeconfig", "manifests", "tokenFile"},
    "serving": {"bindAddress", "port", "insecurePort", "tlsCertFile", "tlsPrivateKeyFile", "shutdownDelay"},
    "browsers": {"keyFile", "hostSuffix", "publicURL", "revocations"},
    "targets": {"nodeName", "nodeProxy"},
    "passThrough": {"enabled", "discover", "identity"},
    "probing": {"configFile", "schedule", "lease", "peerAddress", "peerTokenFile"},
    "audit": {"policyFile", "logPath", "logMode", "logMaxBackup"},
    "node": set[str](),  # of another program
}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
NAMES = {"type": "array", "items": {"type": "string", "minLength": 1}}
OBJECTS = {"type": "array", "items": {"type": "object"}}
ANY = {"type": "object"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
COUNT = {"type": "integer", "minimum": 1}
DURATION = {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"}


def one_of(*words: str) -> dict[str, Any]:
    return {"enum": list(words)}


# What a default does not say.
SAID = {
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "nodeProxy.image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": one_of("Always", "IfNotPresent", "Never"),
    "imagePullSecrets": OBJECTS,
    "replicas": {"type": "integer", "minimum": 0},
    "shutdownDelay": DURATION,
    "certificate.mode": one_of("selfSigned", "certManager", "secret"),
    "certificate.dnsNames": NAMES,
    "certificate.days": COUNT,
    "certificate.issuerRef": {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("kind", "name", "group")},
        "additionalProperties": False,
    },
    "hostNames.publicURL": {"type": "string", "pattern": "^(https://[^/]+/?)?$"},
    "passThrough.groups": NAMES,
    "audit.rules": OBJECTS,
    "probing.modules": {"type": "object", "additionalProperties": {"type": "object"}},
    "service.type": one_of("ClusterIP", "NodePort", "LoadBalancer"),
    "service.port": PORT,
    "service.annotations": TEXTS,
    "service.loadBalancerSourceRanges": NAMES,
    "service.externalTrafficPolicy": one_of("", "Cluster", "Local"),
    "ingress.annotations": TEXTS,
    "ingress.hosts": NAMES,
    "httpRoute.annotations": TEXTS,
    "httpRoute.parentRefs": OBJECTS,
    "httpRoute.hostnames": NAMES,
    "networkPolicy.from": OBJECTS,
    "podDisruptionBudget.maxUnavailable": {"type": ["integer", "string"]},
    "autoscaling.minReplicas": COUNT,
    "autoscaling.maxReplicas": COUNT,
    "autoscaling.targetCPUUtilizationPercentage": COUNT,
    "prometheus.serviceMonitor.interval": DURATION,
    "prometheus.serviceMonitor.labels": TEXTS,
    "prometheus.rules.labels": TEXTS,
    "prometheus.dashboards.labels": TEXTS,
    "serviceAccount.annotations": TEXTS,
    "resources": ANY,
    "podAnnotations": TEXTS,
    "podLabels": TEXTS,
    "nodeSelector": TEXTS,
    "tolerations": OBJECTS,
    "affinity": ANY,
    "extraVolumes": OBJECTS,
    "extraVolumeMounts": OBJECTS,
    "nodeProxy.config": ANY,
    "loadBalancer.pools": OBJECTS,
}
OF_TYPES = {bool: "boolean", int: "integer", str: "string"}


def config() -> dict[str, Any]:
    """Of `bastion serve`, without what the chart sets."""
    sections = of_configuration()["properties"]
    left = {}
    for name, section in sections.items():
        kept = {
            key: one for key, one in section.get("properties", {}).items() if key not in OWNED.get(name, ())
        }
        if kept:
            left[name] = {**section, "properties": kept}
    return {"type": "object", "additionalProperties": False, "properties": left}


def of(value: Any, path: str) -> dict[str, Any]:
    if path == "config":
        return config()
    if path in SAID:
        return SAID[path]
    if isinstance(value, dict) and value:
        within = {key: of(one, f"{path}.{key}".lstrip(".")) for key, one in value.items()}
        return {"type": "object", "additionalProperties": False, "properties": within}
    return {"type": OF_TYPES[type(value)]}


def schema(values: dict[str, Any]) -> dict[str, Any]:
    found = of(values, "")
    # what a chart above this one shares with all
    found["properties"]["global"] = ANY
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def text(chart: Path) -> str:
    values = yaml.safe_load((chart / "values.yaml").read_text())
    return json.dumps(schema(values), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    at = Path(sys.argv[1])
    (at / "values.schema.json").write_text(text(at))
