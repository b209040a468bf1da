"""· The fields of the kinds that `kubectl create` sends in protobuf: number -> (name in JSON, how it is read)

Source: the `generated.proto` of `k8s.io/api` and apimachinery `meta/v1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any


class As(Enum):
    """How the bytes of a field are read.

    A zero of a field that is no pointer in Go means that it was left out; SET keeps it.
    """

    TEXT = auto()
    BYTES = auto()
    NUMBER = auto()
    NUMBER_SET = auto()
    TRUTH = auto()
    TRUTH_SET = auto()
    TEXTS = auto()
    TEXT_MAP = auto()
    BYTES_MAP = auto()
    QUANTITY_MAP = auto()
    PORT = auto()  # IntOrString
    NOTHING = auto()  # the server's own


@dataclass(frozen=True, slots=True)
class Several:
    of: dict[int, tuple[str, Any]]


Message = dict[int, tuple[str, Any]]  # As, a Message, or Several of one


def _texts(first: int, *names: str) -> Message:
    return {number: (name, As.TEXT) for number, name in enumerate(names, first)}


METADATA: Message = {
    **_texts(1, "name", "generateName", "namespace"),
    **_texts(4, "selfLink", "uid", "resourceVersion"),
    7: ("generation", As.NOTHING),
    8: ("creationTimestamp", As.NOTHING),
    11: ("labels", As.TEXT_MAP),
    12: ("annotations", As.TEXT_MAP),
    14: ("finalizers", As.TEXTS),
}
REQUIREMENT: Message = {**_texts(1, "key", "operator"), 3: ("values", As.TEXTS)}
SELECTOR: Message = {1: ("matchLabels", As.TEXT_MAP), 2: ("matchExpressions", Several(REQUIREMENT))}
LOCAL_REFERENCE: Message = _texts(1, "name")

CONTAINER_PORT: Message = {
    1: ("name", As.TEXT),
    2: ("hostPort", As.NUMBER),
    3: ("containerPort", As.NUMBER),
    4: ("protocol", As.TEXT),
    5: ("hostIP", As.TEXT),
}
RESOURCES: Message = {1: ("limits", As.QUANTITY_MAP), 2: ("requests", As.QUANTITY_MAP)}
CONTAINER: Message = {
    **_texts(1, "name", "image"),
    3: ("command", As.TEXTS),
    4: ("args", As.TEXTS),
    5: ("workingDir", As.TEXT),
    6: ("ports", Several(CONTAINER_PORT)),
    7: ("env", Several(_texts(1, "name", "value"))),
    8: ("resources", RESOURCES),
    **_texts(13, "terminationMessagePath", "imagePullPolicy"),
    16: ("stdin", As.TRUTH),
    17: ("stdinOnce", As.TRUTH),
    18: ("tty", As.TRUTH),
    20: ("terminationMessagePolicy", As.TEXT),
}
POD: Message = {
    2: ("containers", Several(CONTAINER)),
    3: ("restartPolicy", As.TEXT),
    4: ("terminationGracePeriodSeconds", As.NUMBER_SET),
    6: ("dnsPolicy", As.TEXT),
    7: ("nodeSelector", As.TEXT_MAP),
    8: ("serviceAccountName", As.TEXT),
    9: ("serviceAccount", As.TEXT),
    10: ("nodeName", As.TEXT),
    11: ("hostNetwork", As.TRUTH),
    12: ("hostPID", As.TRUTH),
    13: ("hostIPC", As.TRUTH),
    14: ("securityContext", {}),
    15: ("imagePullSecrets", Several(LOCAL_REFERENCE)),
    **_texts(16, "hostname", "subdomain"),
    19: ("schedulerName", As.TEXT),
    20: ("initContainers", Several(CONTAINER)),
}
DEPLOYMENT: Message = {
    1: ("replicas", As.NUMBER_SET),
    2: ("selector", SELECTOR),
    3: ("template", {1: ("metadata", METADATA), 2: ("spec", POD)}),
    4: ("strategy", {1: ("type", As.TEXT)}),
    5: ("minReadySeconds", As.NUMBER),
    6: ("revisionHistoryLimit", As.NUMBER_SET),
    7: ("paused", As.TRUTH),
    9: ("progressDeadlineSeconds", As.NUMBER_SET),
}
SERVICE_PORT: Message = {
    **_texts(1, "name", "protocol"),
    3: ("port", As.NUMBER),
    4: ("targetPort", As.PORT),
    5: ("nodePort", As.NUMBER),
    6: ("appProtocol", As.TEXT),
}
SERVICE: Message = {
    1: ("ports", Several(SERVICE_PORT)),
    2: ("selector", As.TEXT_MAP),
    **_texts(3, "clusterIP", "type"),
    5: ("externalIPs", As.TEXTS),
    **_texts(7, "sessionAffinity", "loadBalancerIP"),
    9: ("loadBalancerSourceRanges", As.TEXTS),
    **_texts(10, "externalName", "externalTrafficPolicy"),
    12: ("healthCheckNodePort", As.NUMBER),
    13: ("publishNotReadyAddresses", As.TRUTH),
    17: ("ipFamilyPolicy", As.TEXT),
    18: ("clusterIPs", As.TEXTS),
    19: ("ipFamilies", As.TEXTS),
}
RULE: Message = {
    number: (name, As.TEXTS)
    for number, name in enumerate(("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"), 1)
}
BINDING: Message = {
    2: ("subjects", Several(_texts(1, "kind", "apiGroup", "name", "namespace"))),
    3: ("roleRef", _texts(1, "apiGroup", "kind", "name")),
}
STATUS = ("status", As.NOTHING)

KINDS: dict[str, Message] = {
    "ClusterRole": {
        2: ("rules", Several(RULE)),
        3: ("aggregationRule", {1: ("clusterRoleSelectors", Several(SELECTOR))}),
    },
    "ClusterRoleBinding": BINDING,
    "ConfigMap": {
        2: ("data", As.TEXT_MAP),
        3: ("binaryData", As.BYTES_MAP),
        4: ("immutable", As.TRUTH_SET),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", As.NUMBER_SET),
        2: ("preconditions", _texts(1, "uid", "resourceVersion")),
        3: ("orphanDependents", As.TRUTH_SET),
        4: ("propagationPolicy", As.TEXT),
        5: ("dryRun", As.TEXTS),
        6: ("ignoreStoreReadErrorWithClusterBreakingPotential", As.TRUTH_SET),
    },
    "Deployment": {2: ("spec", DEPLOYMENT), 3: STATUS},
    "Namespace": {2: ("spec", {1: ("finalizers", As.TEXTS)}), 3: STATUS},
    "Pod": {2: ("spec", POD), 3: STATUS},
    "Role": {2: ("rules", Several(RULE))},
    "RoleBinding": BINDING,
    "Secret": {
        2: ("data", As.BYTES_MAP),
        3: ("type", As.TEXT),
        4: ("stringData", As.TEXT_MAP),
        5: ("immutable", As.TRUTH_SET),
    },
    "Service": {2: ("spec", SERVICE), 3: STATUS},
    "ServiceAccount": {
        2: ("secrets", Several({3: ("name", As.TEXT)})),
        3: ("imagePullSecrets", Several(LOCAL_REFERENCE)),
        4: ("automountServiceAccountToken", As.TRUTH_SET),
    },
}
