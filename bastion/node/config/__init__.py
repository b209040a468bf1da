"""kube-proxy's configuration: its file, its flags, what of them is honoured."""
