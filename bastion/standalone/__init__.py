"""A small Kubernetes API in one process: manifests on disk, list and watch, TokenReview, SubjectAccessReview,
RBAC.
"""
