"""A small cluster of sample workloads on this machine, with the bastion in front of it."""
