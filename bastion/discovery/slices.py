"""· Which addresses and pods does a slice name?  None: there is no slice."""

from __future__ import annotations

from bastion.kube.objects import EndpointSlice


def ready(piece: EndpointSlice | None) -> set[str]:
    found = (
        (endpoint.addresses for endpoint in piece.endpoints or () if endpoint.ready)
        if piece is not None
        else ()
    )
    return {address for addresses in found for address in addresses}


def ending(piece: EndpointSlice | None) -> set[str]:
    found = (
        endpoint.addresses
        for endpoint in (piece.endpoints or () if piece is not None else ())
        if endpoint.conditions.terminating is True
    )
    return {address for addresses in found for address in addresses}


def named(piece: EndpointSlice | None) -> set[str]:
    """The pods that a slice names."""
    references = (endpoint.target_ref for endpoint in piece.endpoints or ()) if piece is not None else ()
    return {reference.name for reference in references if reference is not None}
