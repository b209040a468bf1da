"""· Writes docs/reference/errors.md from the table: `python -m bastion.kube.errorreference FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from bastion.kube.errorword import REASONS, Word
from bastion.kube.errorwords import WORDS

INTRODUCTION = """# Errors

What the bastion answers itself is a Kubernetes `Status`. Its `reason` is one of Kubernetes' own, which
client-go and kubectl decide by. Beside it stands a word of the table below, which is never renamed: in the
header `X-Bastion-Error`, in `details.causes[0].reason`, in the access log (`word`, `hop`) and in the metric
`bastion_errors_total{word,hop}`. `details.causes[0].field` is the hop that failed: client, bastion,
apiserver, service, endpoint or backend, in the order of a request's way. An answer without the header is a
backend's own.

    {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
     "message": "no endpoints available for service \\"crash:80\\": 1 pod, 0 ready: 1 CrashLoopBackOff",
     "reason": "ServiceUnavailable", "code": 503,
     "details": {"name": "crash:80", "kind": "services", "causes": [
       {"reason": "PodsNotReady", "message": "1 pod, 0 ready: 1 CrashLoopBackOff", "field": "endpoint"},
       {"reason": "CrashLoopBackOff", "message": "1", "field": "pod"}]}}

The message begins with kube-apiserver's words for the case; what helps follows after `: `. Causes with the
field `pod` count the pods that have a reason; one with the field `rbac` holds a missing rule as YAML, to be
applied as it is. `Retry-After` is sent only where waiting helps, because kubectl waits and asks ten times
before it prints the message. Browsers get the same as a page.

Users who are not authorized for an id never learn whether it exists. Those who may proxy to a service are
told numbers and reasons of its pods, never their names, images, nodes or events.

| word | code | hop | told to | means | what helps |
|---|---|---|---|---|---|
"""


def markdown() -> str:
    return INTRODUCTION + "".join(map(_row, WORDS.values()))


def _row(word: Word) -> str:
    codes = ", ".join(f"{code} {REASONS[code]}".strip() for code in word.codes)
    cells = (f"`{word.name}`", codes, word.hop, word.told, word.meaning, word.remedy)
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown())
