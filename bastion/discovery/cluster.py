"""One cluster: how its API is reached, what exists in it, and whom it is asked about.  There may be two."""

from __future__ import annotations

from dataclasses import dataclass

from bastion.cluster.client import ApiClient
from bastion.cluster.reviews import Reviews
from bastion.discovery.catalog import Catalog
from bastion.discovery.resolver import Resolver


@dataclass(frozen=True, slots=True)
class Cluster:
    client: ApiClient
    catalog: Catalog
    resolver: Resolver
    reviews: Reviews
