"""The Services of one address family as iptables chains, under kube-proxy's names."""
