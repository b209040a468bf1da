"""What do the cluster's BackendTLSPolicies say (gateway.networking.k8s.io/v1, GEP-1897)?

There are few, so the list is read every half minute; where the cluster does not have them, or the bastion may
not read them, it is asked again from time to time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from bastion.cluster.errors import ApiError
from bastion.discovery.apiclient import ObjectReader
from bastion.discovery.backendtls import BackendPolicy, BackendTrust
from bastion.discovery.catalog import Key
from bastion.kube.endpoint import SYSTEM, config_maps
from bastion.runtime.turns import BACKGROUND

PATH = "/apis/gateway.networking.k8s.io/v1/backendtlspolicies"
EVERY, RARELY = 30.0, 300.0  # seconds
NOT_THERE = (403, 404)

_log = logging.getLogger("bastion.discovery")


class _Struct(msgspec.Struct, frozen=True, rename="camel"):
    pass


class _Reference(_Struct, frozen=True):
    group: str = ""
    kind: str = ""
    name: str = ""
    section_name: str = ""


class _Validation(_Struct, frozen=True):
    ca_certificate_refs: tuple[_Reference, ...] | None = None
    well_known_ca_certificates: str | None = msgspec.field(default=None, name="wellKnownCACertificates")
    hostname: str = ""
    subject_alt_names: tuple[dict[str, str], ...] | None = None


class _Spec(_Struct, frozen=True):
    target_refs: tuple[_Reference, ...] = ()
    validation: _Validation = _Validation()


class _Metadata(_Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    creation_timestamp: str = ""


class _Policy(_Struct, frozen=True):
    metadata: _Metadata
    spec: _Spec = _Spec()


class _List(_Struct, frozen=True):
    items: tuple[_Policy, ...] | None = None


def policies_in(body: bytes) -> dict[Key, tuple[BackendPolicy, ...]]:
    """By Service; those of one port before those of all, and of several the oldest first (GEP-713).

    Raises ValueError.
    """
    found: dict[Key, list[BackendPolicy]] = {}
    for policy in msgspec.json.decode(body, type=_List).items or ():
        metadata, validation = policy.metadata, policy.spec.validation
        for target in policy.spec.target_refs:
            if target.kind == "Service" and not target.group:
                made = f"{metadata.creation_timestamp} {metadata.namespace}/{metadata.name}"
                authority = _authority(metadata.namespace, validation)
                one = BackendPolicy(target.section_name, authority, validation.hostname, made)
                found.setdefault((metadata.namespace, target.name), []).append(one)
    return {key: tuple(sorted(some, key=lambda one: (not one.port, one.made))) for key, some in found.items()}


def _authority(namespace: str, validation: _Validation) -> str:
    """A name without an authority behind it where it asks for what cannot be verified: then nothing is
    connected.
    """
    names = validation.subject_alt_names
    if names and {"type": "Hostname", "hostname": validation.hostname} not in names:
        return config_maps(namespace, "")
    maps = [
        ref.name for ref in validation.ca_certificate_refs or () if ref.kind == "ConfigMap" and not ref.group
    ]
    if maps:
        return config_maps(namespace, *maps)
    return SYSTEM if validation.well_known_ca_certificates == "System" else config_maps(namespace, "")


class BackendPolicies:
    """Of these namespaces, of all where there are none."""

    def __init__(self, api: ObjectReader, trust: BackendTrust, namespaces: Iterable[str] = ()) -> None:
        self._api = api
        self._trust = trust
        self._paths = [path_of(namespace) for namespace in namespaces] or [PATH]
        self._told = False

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            there = await self.look()
            await asyncio.sleep(EVERY if there else RARELY)

    async def look(self) -> bool:
        """Reads them once; whether they are there."""
        found: dict[Key, tuple[BackendPolicy, ...]] = {}
        try:
            for path in self._paths:
                found |= policies_in(await self._api.get(path, {"resourceVersion": "0"}, BACKGROUND))
        except ApiError as error:
            return self._failed(error)
        except (TimeoutError, ValueError) as error:
            _log.warning("BackendTLSPolicies cannot be read: %s", error)
            return True
        self._told = False
        self._trust.replace(found)
        return True

    def _failed(self, error: ApiError) -> bool:
        if error.status not in NOT_THERE:
            return True  # what was read before stays in use
        if error.status == 404:
            self._trust.replace({})
        elif not self._told:
            self._told = True
            _log.info("BackendTLSPolicies are not read: %s", error)
        return False


def path_of(namespace: str) -> str:
    prefix, _, last = PATH.rpartition("/")
    return f"{prefix}/namespaces/{namespace}/{last}"
