"""A client's connection over HTTP/2."""
