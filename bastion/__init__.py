"""A standalone, apiserver-style bastion proxy for Kubernetes."""

import sys

__version__ = "0.1.0"

# httpx loads its own command line, with click, rich and pygments where they are installed: 4 MiB of a program
# that never runs it.  None there is an ImportError, which httpx expects.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
