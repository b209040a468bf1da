"""Random Services and their changes, hostile ones among them."""

from __future__ import annotations

import random
from typing import Any

from bastion.node.model import Model
from bastion.node.objects import EndpointSlice, Service
from tests.node.build import endpoint, endpoints, node, service

NAMES = [f"s{number}" for number in range(6)]
ODD = [
    "",
    "x",
    "not an address",
    "10.244.1.1/32",
    "::ffff:10.0.0.1",
    "fe80::1%eth0",
    "' ; flush ruleset",
    "0.0.0.0",
]


def some_service(chance: random.Random, name: str) -> Service:
    number = int(name[1:])
    port: dict[str, Any] = {"name": "p", "port": chance.choice([80, 81, 0])}
    ports = [
        {**port, "protocol": protocol}
        for protocol in chance.sample(["TCP", "UDP", "SCTP"], chance.randint(1, 3))
    ]
    for one in ports:
        one["name"] = f"p-{one['protocol'].lower()}"
        if chance.random() < 0.4:
            one["nodePort"] = chance.choice([30080, 30081, 30080 + number])
    more: dict[str, Any] = {}
    if chance.random() < 0.3:
        more["sessionAffinity"] = "ClientIP"
        more["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": chance.choice([1, 600, 0, 10**8])}}
    if chance.random() < 0.5:
        # of all tenants: some are asked for twice
        more["externalIPs"] = chance.sample(["198.51.100.1", "198.51.100.2", "2001:db8::1", *ODD], 3)
    if chance.random() < 0.4:
        more["ingress"] = tuple({"ip": one} for one in chance.sample(["192.0.2.1", "192.0.2.2", *ODD], 2))
        ranges = ["203.0.113.0/24", "203.0.113.7/32", "172.30.0.0/16", "0.0.0.0/0", "::/0", "x", "10.0.0.1/8"]
        more["loadBalancerSourceRanges"] = chance.sample(ranges, chance.randint(0, 3))
    for policy in ("internalTrafficPolicy", "externalTrafficPolicy"):
        more[policy] = chance.choice(["Cluster", "Local"])
    created = f"2026-01-0{chance.randint(1, 3)}T00:00:00Z"
    # now and then an address that another Service has
    address = f"10.96.1.{chance.choice([number, number, number, 1])}"
    addresses = (address, f"fd96::{number}") if chance.random() < 0.5 else (address,)
    return service(name, addresses, tuple(ports), created=created, **more)


def some_slice(chance: random.Random, of: str, part: int) -> EndpointSlice:
    protocol = chance.choice(["TCP", "UDP", "SCTP"])
    found = []
    for _ in range(chance.choice([0, 1, 2, 3, 5, 200 if chance.random() < 0.1 else 4])):
        state = chance.choice(
            [{}, {}, {}, {"ready": False}, {"ready": False, "serving": True, "terminating": True}]
        )
        address = chance.choice([f"10.244.{chance.randint(1, 2)}.{chance.randint(1, 250)}", *ODD[:4]])
        found.append(endpoint(address, chance.choice(["node1", "node2", None]), **state))
    return endpoints(
        *found,
        of=of,
        name=f"{of}-{part}",
        port=chance.choice([8080, 8081, None, 0]),
        port_name=f"p-{protocol.lower()}",
        protocol=protocol,
    )


def step(chance: random.Random, model: Model) -> None:
    """One change of the cluster."""
    name = chance.choice(NAMES)
    kind = chance.random()
    if kind < 0.4:
        gone = chance.random() < 0.3 and ("shop", name) in model.services
        model.put_service(("shop", name), None if gone else some_service(chance, name))
    elif kind < 0.95:
        part = chance.randint(1, 2)
        key = ("shop", f"{name}-{part}")
        model.put_slice(key, None if chance.random() < 0.2 else some_slice(chance, name, part))
    else:
        zone = chance.choice(["zone-a", "zone-b"])
        model.put_node(node(metadata={"labels": {"topology.kubernetes.io/zone": zone}}))
