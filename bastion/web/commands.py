"""· Commands that work as pasted.  A token is never in one: `$TOKEN` is the reader's to set."""

from __future__ import annotations

PATH = "{path}"  # where the script puts the path of a row

Command = tuple[str, str]  # what it is, and its text


def commands(origin: str, path: str = PATH) -> list[Command]:
    """`origin` is where the reader's browser sees this bastion."""
    return [
        ("curl", f'curl -H "Authorization: Bearer $TOKEN" {origin}{path}'),
        ("kubectl, raw", f'kubectl --server {origin} --token "$TOKEN" get --raw {path}'),
    ]
