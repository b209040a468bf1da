"""· Which pools were configured?  Flags and a file, with everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from bastion.kube.documents import documents
from bastion.node.balancers.pools import Pool, Range, overlaps, range_of
from bastion.runtime.errors import ConfigError

KIND = "LoadBalancerPools"


class _Selector(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    match_labels: dict[str, str] = {}


class _Entry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    name: str
    addresses: tuple[str, ...]
    auto_assign: bool = True
    avoid_buggy_ips: bool = msgspec.field(default=False, name="avoidBuggyIPs")
    namespaces: tuple[str, ...] = ()
    service_selector: _Selector = _Selector()
    priority: int = 0


class _File(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pools: tuple[_Entry, ...]
    api_version: str = "bastion.dev/v1alpha1"
    kind: str = KIND


def pools_of(flags: Iterable[tuple[str, tuple[str, ...]]], text: str | None, file: str) -> tuple[Pool, ...]:
    """`flags`: (name, ranges); `text` is the content of `file`, None where there is none.  Raises
    ConfigError with all mistakes.
    """
    mistakes: list[str] = []
    found = [
        Pool(
            name or ("default" if not number else f"default-{number + 1}"), _ranges(texts, "--pool", mistakes)
        )
        for number, (name, texts) in enumerate(flags)
    ]
    if text is not None:
        found += _of_file(text, file, mistakes)
    names = [pool.name for pool in found]
    mistakes += [f"pool {name}: there are two" for name in sorted({n for n in names if names.count(n) > 1})]
    mistakes += [f"pools {one} and {other} have addresses in common" for one, other in overlaps(tuple(found))]
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(found)


def _of_file(text: str, file: str, mistakes: list[str]) -> Iterator[Pool]:
    try:
        read = [msgspec.convert(one.value, _File) for one in documents(text) if one.value is not None]
    except (ValueError, msgspec.ValidationError) as error:
        mistakes.append(f"{file}: {error}")
        return
    for entry in (entry for one in read for entry in one.pools):
        yield Pool(
            entry.name,
            _ranges(entry.addresses, f"{file}: pool {entry.name}", mistakes),
            auto=entry.auto_assign,
            avoid_buggy=entry.avoid_buggy_ips,
            namespaces=frozenset(entry.namespaces),
            labels=entry.service_selector.match_labels,
            priority=entry.priority,
        )


def _ranges(texts: Iterable[str], where: str, mistakes: list[str]) -> tuple[Range, ...]:
    found = []
    for text in texts:
        try:
            found.append(range_of(text))
        except ValueError:
            mistakes.append(f"{where}: {text!r} is not a range such as 192.0.2.0/28 (with no host bits set)")
    return tuple(found)
