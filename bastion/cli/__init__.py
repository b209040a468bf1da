"""The commands: words split, one function called."""
