"""One page for who is on call."""
