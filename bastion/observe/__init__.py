"""What happened, for people and machines: logs and metrics.  Nothing here decides anything."""
