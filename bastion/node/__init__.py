"""kube-proxy's job on one node: connections to Services reach their endpoints."""
