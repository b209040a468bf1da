"""The whole program as a process of its own, real sockets and real clients around it."""
