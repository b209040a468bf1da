"""A standalone, apiserver-style bastion proxy for Kubernetes."""

__version__ = "0.1.0"
