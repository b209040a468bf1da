"""The API server, as a client of it sees it."""
