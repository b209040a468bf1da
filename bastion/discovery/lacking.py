"""· Why does a service have no endpoint that can be dialled?  The first that fits, in the order of the way.

Counted when it is asked for, over a bounded number of endpoints and pods: numbers and reasons of pods, never
their names, images, nodes or messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from bastion.discovery.backing import MOST_LISTED, port_of
from bastion.discovery.catalog import Catalog
from bastion.kube.errors import POD, error_of
from bastion.kube.errorword import Word
from bastion.kube.errorwords import (
    ADDRESS_REFUSED,
    ALL_TERMINATING,
    ENDPOINTS_NOT_OF_PODS,
    NO_SELECTOR,
    NO_SUCH_PORT,
    POD_HAS_NO_ADDRESS,
    PODS_NOT_READY,
    SELECTOR_MATCHES_NOTHING,
)
from bastion.kube.objects import EndpointSlice, Pod, Service, SliceEndpoint, UnreadyStatus
from bastion.kube.podtroubles import READINESS, Trouble
from bastion.kube.status import Cause, StatusError, quoted
from bastion.kube.target import Target, parse_target

NOT_DIALLED = "not one that this bastion may dial (--allow-target-cidr)"
REASONS_NAMED = PODS_NAMED = 8
MOST_COUNTED, MOST_SLICES = 2048, 256  # endpoints, and pods; slices


def no_endpoints(word: Word, name: str, why: str = "", causes: tuple[Cause, ...] = ()) -> StatusError:
    details = {"name": name, "kind": "services"}
    return error_of(
        word, f"no endpoints available for service {quoted(name)}", why, details=details, causes=causes
    )


def why_none(
    catalog: Catalog, target: Target, service: Service, port: str, *, truncated: bool
) -> StatusError:
    """503 for a service and its port of this name that no endpoint is there for."""
    endpoints = [*islice(_endpoints(catalog, target), MOST_COUNTED)]
    name = target.id if endpoints else target.name  # as in kube-apiserver
    if truncated:
        sentence = f"none of the first {MOST_LISTED} in its slices is ready, and the others are ignored"
        return no_endpoints(PODS_NOT_READY, name, sentence)
    if not service.spec.selector and not endpoints:
        return no_endpoints(NO_SELECTOR, name, "it has no selector, and there are no endpoint slices for it")
    pods = _unready(catalog, service, target, endpoints)
    if not endpoints and not pods:
        selector = ",".join(f"{key}={value}" for key, value in sorted((service.spec.selector or {}).items()))
        sentence = f"no pod of the namespace has the labels {selector} of its selector"
        return no_endpoints(SELECTOR_MATCHES_NOTHING, name, sentence)
    if endpoints and all(one.conditions.terminating is True for one in endpoints):
        return no_endpoints(ALL_TERMINATING, target.id, _terminating(len(endpoints)))
    usable = [one for one in endpoints if one.ready or one.serves_while_ending]
    if not usable:
        return _pods_not_ready(name, pods, max(len(pods), len(endpoints)))
    if not any(port_of(piece, port) for piece in _slices(catalog, target)):
        return no_endpoints(NO_SUCH_PORT, target.id, "its pods have no port for it (targetPort)")
    owned = [address for one in usable for address in _owned(catalog, target, one)]
    if not owned:
        return no_endpoints(
            ENDPOINTS_NOT_OF_PODS,
            target.id,
            "its endpoints do not name live pods of its own namespace (targetRef)",
        )
    return no_endpoints(ADDRESS_REFUSED, target.id, f"its addresses are {NOT_DIALLED}")


def no_address(pod: Pod) -> StatusError:
    """400 for a pod, and why where its status says so."""
    reason = pod.status.trouble.reason if isinstance(pod.status, UnreadyStatus) else ""
    sentence = "the pod has no address yet" + (f": {reason}" if reason else "")
    causes = (Cause(reason, "1", POD),) if reason else ()
    return error_of(POD_HAS_NO_ADDRESS, "address not allowed", sentence, code=400, causes=causes)


def unready_pods(catalog: Catalog, namespace: str, name: str) -> list[tuple[str, str]]:
    """Of a service: names and reasons, the first few by name.  Only for who may see pods."""
    service = catalog.services.get((namespace, name))
    if service is None:
        return []
    target = parse_target("services", namespace, name)
    pods = _unready(catalog, service, target, [*islice(_endpoints(catalog, target), MOST_COUNTED)])
    reasons = {
        pod.metadata.name: pod.status.trouble.reason for pod in pods if isinstance(pod.status, UnreadyStatus)
    }
    return sorted(reasons.items())[:PODS_NAMED]


def _slices(catalog: Catalog, target: Target) -> Iterator[EndpointSlice]:
    return islice(catalog.slices_of(target.namespace, target.name).values(), MOST_SLICES)


def _endpoints(catalog: Catalog, target: Target) -> Iterator[SliceEndpoint]:
    for piece in _slices(catalog, target):
        yield from piece.endpoints or ()


def _unready(catalog: Catalog, service: Service, target: Target, endpoints: list[SliceEndpoint]) -> list[Pod]:
    """Those that the selector matches; without one those that the slices name."""
    selector = service.spec.selector
    there = islice(catalog.unready.of(target.namespace), MOST_COUNTED)
    if selector:
        return [pod for pod in there if _labels(pod).items() >= selector.items()]
    named = {one.target_ref.name for one in endpoints if one.target_ref is not None}
    return [pod for pod in there if pod.metadata.name in named]


def _labels(pod: Pod) -> dict[str, str]:
    return pod.status.labels if isinstance(pod.status, UnreadyStatus) else {}


def _owned(catalog: Catalog, target: Target, endpoint: SliceEndpoint) -> Iterator[str]:
    """Its addresses that belong to the pod that it names."""
    reference = endpoint.target_ref
    if reference is None or reference.kind != "Pod" or reference.namespace not in ("", target.namespace):
        return
    pod = catalog.pods.get((target.namespace, reference.name))
    if pod is not None:
        yield from (address for address in endpoint.addresses if catalog.owns(pod, address))


def _terminating(count: int) -> str:
    return f"all {count} endpoints are terminating" if count > 1 else "its 1 endpoint is terminating"


def _pods_not_ready(name: str, pods: list[Pod], count: int) -> StatusError:
    """`count` pods, of which those that are known to be unready are told by their reasons."""
    troubles: dict[str, list[Trouble]] = {}
    for pod in pods:
        if isinstance(pod.status, UnreadyStatus):
            troubles.setdefault(pod.status.trouble.reason, []).append(pod.status.trouble)
    told = sorted(troubles.items(), key=lambda item: (-len(item[1]), item[0]))
    sentence = f"{count} pod{'s' if count != 1 else ''}, 0 ready"
    if told:
        sentence += ": " + ", ".join(_phrase(reason, alike) for reason, alike in told[:REASONS_NAMED])
    causes = tuple(Cause(reason, str(len(alike)), POD) for reason, alike in told[:REASONS_NAMED])
    return no_endpoints(PODS_NOT_READY, name, sentence, causes)


def _phrase(reason: str, alike: list[Trouble]) -> str:
    count = len(alike)
    if reason == READINESS:
        return f"{count} fails its readiness probe" if count == 1 else f"{count} fail their readiness probes"
    restarts, last = max((one.restarts, one.last) for one in alike)
    beside = [f"{restarts} restart{'s' if restarts != 1 else ''}"] if restarts else []
    beside += [f"last ended by {last}"] if last else []
    return f"{count} {reason}" + (f" ({', '.join(beside)})" if beside else "")
