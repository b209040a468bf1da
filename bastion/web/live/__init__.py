"""Live values: server-sent events with values, never HTML."""
