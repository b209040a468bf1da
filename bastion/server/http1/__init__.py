"""A client's connection over HTTP/1.1."""
