"""Which object has the rules for the Prometheus Operator?  One that follows from rules.yaml:
`python tools/prometheus_rule.py deploy/prometheus`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import indent

HEAD = """\
# Which rules are for the Prometheus Operator?  Those of rules.yaml; written by `make reference`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: bastion
  namespace: bastion
  labels:
    app.kubernetes.io/name: bastion
spec:
"""


def text(folder: Path) -> str:
    rules = (folder / "rules.yaml").read_text()
    return HEAD + indent(rules[rules.index("groups:\n") :], "  ")


if __name__ == "__main__":
    at = Path(sys.argv[1])
    (at / "prometheusrule.yaml").write_text(text(at))
