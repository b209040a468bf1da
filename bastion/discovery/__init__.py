"""The objects of the cluster, and where a target leads."""
