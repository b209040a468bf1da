"""What happened, for people and machines.  Nothing here decides anything."""
