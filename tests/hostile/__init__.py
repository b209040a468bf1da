"""Hostile inputs over real connections, a table per category; ids as SM-150 or RS-002 name the attack."""
