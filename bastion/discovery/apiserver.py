"""· Where do the API servers listen?  The Service default/kubernetes and its endpoints."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bastion.cluster.errors import ApiError
from bastion.discovery.apiclient import ObjectReader
from bastion.discovery.catalog import Catalog
from bastion.kube.objects import SERVICE_NAME_LABEL, STRUCTS, path_of
from bastion.runtime.turns import BACKGROUND

NAMESPACE, NAME = "default", "kubernetes"


class _List(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


def api_server_sockets(catalog: Catalog) -> Iterator[tuple[str, int]]:
    """(address, port) of each; none where the catalog does not have the Service."""
    service = catalog.services.get((NAMESPACE, NAME))
    if service is not None:
        for port in service.spec.ports or ():
            for address in service.spec.cluster_addresses:
                yield address, port.port
    for piece in catalog.slices_of(NAMESPACE, NAME).values():
        for number in piece.ports or ():
            for endpoint in piece.endpoints or ():
                for address in endpoint.addresses:
                    yield address, number.port or 0


async def look_once(api: ObjectReader, catalog: Catalog) -> None:
    """Reads them into `catalog`, which is their own where their namespace is not watched (--namespaces).

    Where the API server refuses or fails, `catalog` stays as it was.
    """
    try:
        service = await api.get(path_of("services", NAMESPACE, NAME), {}, BACKGROUND)
        selector = {"labelSelector": f"{SERVICE_NAME_LABEL}={NAME}", "limit": "100"}
        slices = await api.get(path_of("endpointslices", NAMESPACE), selector, BACKGROUND)
        pieces = [(NAME, "services", service)]
        pieces += [
            (str(i), "endpointslices", bytes(raw))
            for i, raw in enumerate(msgspec.json.decode(slices, type=_List).items or ())
        ]
        decoded = [
            (name, resource, msgspec.json.decode(raw, type=STRUCTS[resource]))
            for name, resource, raw in pieces
        ]
    except (ApiError, TimeoutError, ValueError):
        return
    for _ in catalog.retain("endpointslices", {(NAMESPACE, name) for name, _, _ in decoded}):
        pass  # a handful
    for name, resource, one in decoded:
        catalog.apply(resource, one, (NAMESPACE, name))


def api_server_endpoints(catalog: Catalog) -> frozenset[tuple[str, int]]:
    """(address, port) of those that say they are ready; empty where the cluster does not tell."""
    return frozenset(
        (address, port.port)
        for piece in catalog.slices_of(NAMESPACE, NAME).values()
        for port in piece.ports or ()
        if port.port and port.name in ("https", "", None)
        for endpoint in piece.endpoints or ()
        if endpoint.ready
        for address in endpoint.addresses
    )
