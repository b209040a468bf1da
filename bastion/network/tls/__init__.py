"""TLS to backends."""
