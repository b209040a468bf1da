"""The way of a request: parsed, authenticated, authorized, resolved, sent."""
