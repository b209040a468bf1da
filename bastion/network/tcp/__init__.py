"""TCP connections as the kernel has them: accepted, led to a backend, relayed."""
