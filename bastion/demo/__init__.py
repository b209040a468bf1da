"""A cluster in a box with sample workloads, and the bastion in front of it."""
