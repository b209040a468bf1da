"""How long does resolving take among 10 000 services and 50 000 pods?

In this process, on the program's own classes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from bastion.discovery.catalog import Catalog
from bastion.discovery.reflector import Reflector
from bastion.discovery.resolver import Resolver
from bastion.kube.objects import PATHS, STRUCTS, Object
from bastion.kube.target import Target, parse_target
from bastion.network.addresses import DialPolicy
from bastion.settings.kinds import network
from bench.scale_objects import Cluster

PAGE = 500
ROUNDS = 5


def measure(cluster: Cluster) -> dict[str, float]:
    """Microseconds of processor time, by what is resolved; `service, first time` is one whose endpoints have
    just changed.
    """
    catalog = _filled(cluster)
    resolver = Resolver(catalog, DialPolicy([network(f"{cluster.network}.0/24")]), nodes=True)
    chance = random.Random(1)
    services = [
        parse_target("services", cluster.namespace(n), f"{cluster.service_name(n)}:80")
        for n in range(cluster.services)
    ]
    pods = [
        parse_target("pods", cluster.namespace(n), f"{cluster.pod_name(n)}:http")
        for n in range(0, cluster.pods, 5)
    ]
    chance.shuffle(services)
    chance.shuffle(pods)
    return {
        "service, first time": _time(resolver, services, rounds=1),
        "service": _time(resolver, services),
        "pod": _time(resolver, pods),
    }


def _time(resolver: Resolver, targets: Sequence[Target], rounds: int = ROUNDS) -> float:
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        for target in targets:
            resolver.resolve(target)
        taken.append((time.process_time() - begun) / len(targets) * 1e6)
    return min(taken)  # whatever else ran only added to it


def _filled(cluster: Cluster) -> Catalog:
    catalog = Catalog()
    for resource, path in PATHS.items():
        count, make = cluster.makers[path]
        reflector: Reflector[Object] = Reflector(STRUCTS[resource])
        for begin in range(0, count, PAGE):
            reflector.ask()
            items = b",".join(make(number, 1) for number in range(begin, min(begin + PAGE, count)))
            more = b"x" if begin + PAGE < count else b""
            listed = reflector.page(
                b'{"metadata":{"resourceVersion":"1","continue":"%b"},"items":[%b]}' % (more, items)
            )
            for change in listed.changes:
                catalog.apply(resource, change.object, change.key)
            if listed.keys is not None:
                list(catalog.retain(resource, listed.keys))
    return catalog
