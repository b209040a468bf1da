"""A connection to a backend over HTTP/1.1."""
