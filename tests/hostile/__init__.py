"""Hostile inputs over real connections, a table per category."""
