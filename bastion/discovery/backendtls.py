"""· Is TLS to a target verified, against which authority, and for which name?

A BackendTLSPolicy decides first, then the annotations of the Service or pod, then the authority of
`--backend-certificate-authority`.  Where none is known, nothing is verified.
"""

from __future__ import annotations

import msgspec
from msgspec import structs

from bastion.discovery.catalog import Catalog, Key
from bastion.discovery.policy import policy_of
from bastion.discovery.ports import Spoken
from bastion.kube.annotations import BackendProtocol
from bastion.kube.endpoint import BACKENDS, EITHER, HTTP2, TLSProfile, config_maps

IDENTITY = "backends"  # the client certificate, where there is one


class Flags(msgspec.Struct, frozen=True, gc=False):
    """`authority`: one is known for all backends; `identity`: a client certificate is shown to those that are
    verified; `insecure`: the owner of a Service may say that nothing is.
    """

    authority: bool = False
    identity: bool = False
    insecure: bool = False


class BackendPolicy(msgspec.Struct, frozen=True, gc=False):
    """Of one Service: `port` by name, empty for all of them; `made` decides between several."""

    port: str
    authority: str
    hostname: str
    made: str = ""


class BackendTrust:
    """`policies` are the BackendTLSPolicies of each Service, the one that counts first."""

    def __init__(self, catalog: Catalog, flags: Flags = Flags()) -> None:  # noqa: B008 frozen
        self._catalog = catalog
        self._flags = flags
        self.policies: dict[Key, tuple[BackendPolicy, ...]] = {}

    def replace(self, policies: dict[Key, tuple[BackendPolicy, ...]]) -> None:
        """All of them, as they are now."""
        before, self.policies = self.policies, policies
        for key in before.keys() | policies.keys():
            if before.get(key) != policies.get(key):
                self._catalog.forget_service(key)

    def of_service(self, key: Key, port: str, said: Spoken, *, plain: bool) -> Spoken:
        """`said` is what the id and the port say; `plain`: the id says that no TLS is spoken."""
        for policy in () if plain else self.policies.get(key, ()):
            if policy.port in ("", port):
                alpn = said.tls.alpn if said.tls is not None else (HTTP2,) if said.h2c else EITHER
                return Spoken(TLSProfile(policy.authority, self._identity, policy.hostname, alpn))
        return self._trusted(said, "services", key, f"{key[1]}.{key[0]}.svc")

    def of_pod(self, key: Key, said: Spoken) -> Spoken:
        """Its certificate is for its address, where the pod does not say another name."""
        return self._trusted(said, "pods", key, "")

    def _trusted(self, said: Spoken, resource: str, key: Key, name: str) -> Spoken:
        if said.tls is None:
            return said
        return Spoken(structs.replace(self._said(resource, key, name), alpn=said.tls.alpn))

    @property
    def _identity(self) -> str:
        return IDENTITY if self._flags.identity else ""

    def _said(self, resource: str, key: Key, name: str) -> TLSProfile:
        said = policy_of(self._catalog, BackendProtocol, resource, key)
        authority = config_maps(key[0], said.ca_configmap) if said.ca_configmap else ""
        authority = authority or (BACKENDS if self._flags.authority else "")
        if not authority or (self._flags.insecure and not said.tls_verify):
            return TLSProfile(server_name=said.tls_server_name)
        return TLSProfile(authority, self._identity, said.tls_server_name or name)
