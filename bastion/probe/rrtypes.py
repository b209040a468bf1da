"""· DNS types and classes by name."""

from __future__ import annotations

from typing import Any

# The library is loaded where a module asks for DNS.


def query_type(value: Any, path: str, wrong: list[str]) -> Any:
    import dns.rdatatype

    try:
        dns.rdatatype.from_text(str(value))
    except Exception:  # the library has several
        wrong.append(f"{path}: query type {value!r} is not valid")
    return str(value)


def query_class(value: Any, path: str, wrong: list[str]) -> Any:
    import dns.rdataclass

    try:
        dns.rdataclass.from_text(str(value))
    except Exception:  # the library has several
        wrong.append(f"{path}: query class {value!r} is not valid")
    return str(value)
