"""· What do the command line, the environment and a file say of each option?

Each source gives values and mistakes, and no source knows of the others.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bastion.settings.option import PREFIX, Option, camel_case
from bastion.settings.words import did_you_mean

API_VERSION, KIND = "bastion.dev/v1alpha1", "BastionConfiguration"
# Sections that other programs of the family read of the same file, by what stands in them.
OF_PROGRAMS = {"node": "of `bastion node`: the fields of kube-proxy's KubeProxyConfiguration, v1alpha1"}


@dataclass(slots=True)
class Found:
    """`values` and `places` (what to call the option in a line about it) by the option's key; `broken`: those
    whose value could not be read.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    mistakes: list[str] = field(default_factory=list)

    def read(self, row: Option, place: str, parse: Callable[[Any], Any], written: Any) -> None:
        try:
            self.values[row.key] = parse(written)
            self.places[row.key] = place
        except ValueError as error:
            self.broken.add(row.key)
            self.mistakes.append(f"{place}: {error}")


# --- the command line


def of_flags(rows: Sequence[Option], argv: Sequence[str]) -> Found:
    """argparse splits the words, and nothing more: a mistake would end the program at the first one."""
    given, others = _splitter(rows).parse_known_args(list(argv))
    found = Found()
    for row in rows:
        texts = getattr(given, row.key, None)
        if texts is None:
            continue
        if None in texts:
            found.broken.add(row.key)
            found.mistakes.append(f"--{row.flag}: a value is missing ({row.kind.metavar})")
        else:
            found.read(row, f"--{row.flag}", row.kind.of_flags, texts)
    found.mistakes += _unknown(rows, others)
    return found


def _splitter(rows: Iterable[Option]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for row in rows:
        names = [f"--{row.flag}", *([f"-{row.short}"] if row.short else [])]
        without_value = "true" if row.kind.is_switch else None
        parser.add_argument(*names, dest=row.key, action="append", nargs="?", const=without_value)
    return parser


def _unknown(rows: Iterable[Option], words: Sequence[str]) -> list[str]:
    flags = [f"--{row.flag}" for row in rows]
    mistakes, after_flag = [], False
    for word in words:
        name = word.partition("=")[0]
        if word.startswith("-") and word != "--":
            mistakes.append(f"{name}: unknown flag{did_you_mean(name, flags, ' (see --help)')}")
        elif not after_flag:  # else it is the value of a flag that is not known
            mistakes.append(f"{word}: unexpected argument")
        after_flag = word.startswith("-") and "=" not in word
    return mistakes


# --- the environment

# Of these a kubelet sets some in each pod, for each Service: of one called `bastion` BASTION_SERVICE_HOST,
# BASTION_PORT=tcp://10.0.0.1:443 and BASTION_PORT_443_TCP_ADDR, of `bastion-serving` BASTION_SERVING_PORT.
_SERVICE_LINK = re.compile(
    r"BASTION(?:_[A-Z0-9_]+)?_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"(?:tcp|udp|sctp)://.*")
_OF_WORKERS = re.compile(r"BASTION_WORKER(?:_NUMBER)?")


def of_environment(
    rows: Iterable[Option], environment: Mapping[str, str], others: Iterable[str] = ()
) -> Found:
    """`others`: variables that other commands read."""
    known = {row.variable: row for row in rows}
    found, others = Found(), frozenset(others)
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX) or _is_service_link(name, text) or _OF_WORKERS.fullmatch(name):
            continue
        if (row := known.get(name)) is not None:
            found.read(row, name, row.kind.of_variable, text)
        elif name not in others:
            found.mistakes.append(f"{name}: unknown variable{_like(name, known)}")
    return found


def _is_service_link(name: str, text: str) -> bool:
    if _SERVICE_LINK.fullmatch(name):
        return True
    return name.endswith("_PORT") and _SERVICE_PORT.fullmatch(text) is not None


def _like(name: str, known: Iterable[str]) -> str:
    known = list(known)
    same = [other for other in known if other.endswith(name.removeprefix(PREFIX.rstrip("_")))]
    return f" (did you mean {same[0]}?)" if len(same) == 1 else did_you_mean(name, known)


# --- a file


def of_file(rows: Iterable[Option], file: Path, text: str) -> Found:
    """Relative paths in it begin where the file is."""
    from bastion.kube.documents import documents  # only here: it takes YAML

    found = Found()
    try:
        read = [document for document in documents(text) if document.value is not None]
    except ValueError as error:
        found.mistakes.append(f"{file}: {error}")
        return found
    if len(read) > 1:
        found.mistakes.append(f"{file}: more than one document")
    for document in read[:1]:
        found.mistakes += [f"{file}: {path}: is there twice" for path in document.repeated]
        _of_document(found, [row for row in rows if row.section], file, document.value)
    if not read:
        found.mistakes.append(f"{file}: empty, not a {KIND}")
    return found


def _of_document(found: Found, rows: Sequence[Option], file: Path, value: Any) -> None:
    if not isinstance(value, dict):
        found.mistakes.append(f"{file}: must be an object")
        return
    for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if value.get(name) != wanted:
            found.mistakes.append(f"{file}: {name}: must be {wanted}")
    sections = {camel_case(row.section): row.section for row in rows}
    for name, inner in value.items():
        if name in ("apiVersion", "kind", "metadata") or inner is None:
            continue
        if name not in sections and name not in OF_PROGRAMS:
            found.mistakes.append(f"{file}: {name}: unknown section{did_you_mean(name, sections)}")
        elif not isinstance(inner, dict):
            found.mistakes.append(f"{file}: {name}: must be an object")
        elif name in sections:
            _of_section(found, [row for row in rows if row.section == sections[name]], file, inner)


def _of_section(found: Found, rows: Sequence[Option], file: Path, value: Mapping[str, Any]) -> None:
    known = {camel_case(row.name): row for row in rows}
    section = camel_case(rows[0].section)
    for name, inner in value.items():
        row = known.get(name)
        if row is None:
            hint = did_you_mean(name, known)
            found.mistakes.append(f"{file}: {section}.{name}: unknown field{hint}")
        elif inner is not None:  # null: as if it were not there
            found.read(row, f"{file}: {row.path}", row.kind.of_document, inner)
            if row.key in found.values:
                found.values[row.key] = _from(file.parent, found.values[row.key])


def _from(folder: Path, value: Any) -> Any:
    if isinstance(value, Path):
        return folder / value
    return tuple(_from(folder, one) for one in value) if isinstance(value, tuple) else value
