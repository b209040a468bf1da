"""What of the node itself is read and set: connection tracking, loopback routing, its addresses."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bastion.node.config.settings import Conntrack
from bastion.runtime.errors import StartError

SYSCTL = Path("/proc/sys/net")
MOST_TRACKED = 1_048_576
_ROUTE = 0
_GET_ADDRESS, _NEW_ADDRESS, _DONE, _ERROR = 22, 20, 3, 2
_ADDRESS, _LOCAL = 1, 2  # IFA_ADDRESS, IFA_LOCAL

_log = logging.getLogger("bastion.node")


def set_conntrack(settings: Conntrack) -> None:
    """Raises StartError where one cannot be written: inside a network namespace the maximum cannot."""
    values: dict[str, int] = {}
    if settings.max_per_core:
        most = min(MOST_TRACKED, settings.max_per_core * (os.cpu_count() or 1))
        values["nf_conntrack_max"] = max(most, settings.min)
    for name, seconds in (
        ("tcp_timeout_established", settings.tcp_established),
        ("tcp_timeout_close_wait", settings.tcp_close_wait),
        ("udp_timeout", settings.udp),
        ("udp_timeout_stream", settings.udp_stream),
    ):
        if seconds:
            values[f"nf_conntrack_{name}"] = int(seconds)
    if settings.liberal:
        values["nf_conntrack_tcp_be_liberal"] = 1
    for name, value in values.items():
        _set(
            SYSCTL / "netfilter" / name,
            value,
            "conntrack.maxPerCore" if name.endswith("max") else "conntrack",
        )


def _set(path: Path, value: int, option: str) -> None:
    try:
        if path.read_text().strip() != str(value):
            path.write_text(f"{value}\n")
    except OSError as error:
        raise StartError(
            f"{path} cannot be set to {value}: {error.strerror}; {option}: 0 leaves it as it is"
        ) from error


def route_loopback(*, on: bool) -> None:
    """So that a NodePort answers on 127.0.0.1; off again once the rules that guard loopback are removed."""
    try:
        (SYSCTL / "ipv4/conf/all/route_localnet").write_text(f"{on:d}\n")
    except OSError as error:
        _log.error("route_localnet cannot be switched %s: %s", "on" if on else "off", error.strerror)


def set_oom_score(score: int) -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(f"{score}\n")
    except OSError as error:
        _log.warning("oomScoreAdj cannot be set: %s", error.strerror)


def has_ipv6() -> bool:
    path = SYSCTL / "ipv6/conf/all/disable_ipv6"
    try:
        return Path("/proc/net/if_inet6").exists() and path.read_text().strip() == "0"
    except OSError:
        return False


class Attached(NamedTuple):
    """An address of an interface, and how much of it is its network's."""

    interface: str
    address: str
    length: int


def local_addresses() -> list[str]:
    """Those of all interfaces, each once: a gateway's is often on every pod's interface.  Raises OSError."""
    return list(dict.fromkeys(one.address for one in attached()))


def attached() -> list[Attached]:
    """By netlink.  Raises OSError."""
    found: list[Attached] = []
    names = dict(socket.if_nameindex())
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _ROUTE) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(5.0)
        netlink.send(struct.pack("=IHHIIB3xi", 24, _GET_ADDRESS, 0x301, 1, 0, 0, 0))
        while True:
            data = netlink.recv(1 << 17)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (_DONE, _ERROR):
                    return found
                if kind == _NEW_ADDRESS:
                    prefix, index = struct.unpack_from("=xBxxI", data, 16)
                    found.append(Attached(names.get(index, ""), _address(data[24:length]), prefix))
                data = data[(length + 3) & ~3 :]


def answer_strictly(interfaces: Iterable[str]) -> None:
    """The kernel answers ARP there only for addresses of that very interface, and not for those of Services
    that are on another one (as kube-proxy's strictARP).
    """
    for name in interfaces:
        for setting, value in (("arp_ignore", 1), ("arp_announce", 2)):
            path = SYSCTL / f"ipv4/conf/{name}/{setting}"
            try:
                if int(path.read_text()) < value:
                    path.write_text(f"{value}\n")
            except (OSError, ValueError) as error:
                _log.error("%s cannot be set: every node may answer for every address: %s", path, error)


def _address(data: bytes) -> str:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return str(ipaddress.ip_address(found.get(_LOCAL) or found[_ADDRESS]))
