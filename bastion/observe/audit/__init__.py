"""Who did what: events of `audit.k8s.io/v1`, as kube-apiserver writes them of its own requests."""
