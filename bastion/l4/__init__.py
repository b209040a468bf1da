"""The load balancer for TCP and UDP: what is accepted goes to a healthy server, byte for byte."""
