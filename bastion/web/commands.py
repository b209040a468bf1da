"""· Commands that work as pasted.  A token is never in one: `$TOKEN` is the reader's to set."""

from __future__ import annotations

PATH, TARGET = "{path}", "{target}"  # where the script puts those of a row
_KINDS = {"services": "svc", "pods": "pod", "nodes": "node"}

Command = tuple[str, str]  # what it is, and its text


def commands(origin: str, path: str = PATH, target: str = TARGET) -> list[Command]:
    """`origin` is where the reader's browser sees this bastion, `target` as `target_of` has it."""
    return [
        ("curl", f'curl -H "Authorization: Bearer $TOKEN" {origin}{path}'),
        ("kubectl, raw", f'kubectl --server {origin} --token "$TOKEN" get --raw {path}'),
        ("bastion", f'bastion curl --server {origin} --token "$TOKEN" {target}'),
    ]


def tunnel(origin: str, target: str, port: int) -> Command:
    """The local port is a free one, which the command prints."""
    return ("A port on this machine", f'bastion tunnel --server {origin} --token "$TOKEN" {target} :{port}')


def target_of(resource: str, namespace: str, id: str) -> str:
    """As the command line names it."""
    return "/".join(filter(None, (_KINDS[resource], namespace, id)))
