"""Upgraded connections: real clients and backends, and between them the bastion as a process of its own."""
