"""Services of type LoadBalancer: their addresses, and which node answers for them on the link."""
